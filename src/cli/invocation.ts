import type { Command } from "commander";
import { PosternError } from "../errors.ts";
import { Output } from "./output.ts";

/** Options that every command takes. */
export interface CommonOptions {
  json?: boolean;
  config?: string;
  data?: string;
}

/** One run of a command. */
export interface Invocation<Options> {
  options: Options & CommonOptions;
  args: string[];
  output: Output;
}

/** Exit code of the run; 0 unless a handler says otherwise. */
export interface RunState {
  exitCode: number;
}

/** What a command's handler is given to attach itself with. */
export class CommandSet {
  readonly #state: RunState;

  constructor(state: RunState) {
    this.#state = state;
  }

  /**
   * Gives a command its action, the options that every command has, and its examples.
   *
   * @param handler Its result, when a number, is the exit code. What it throws is printed by `main`.
   */
  finish<Options>(
    command: Command,
    examples: ReadonlyArray<readonly [line: string, meaning: string]>,
    handler: (invocation: Invocation<Options>) => Promise<number | undefined>,
  ): void {
    command
      .option("--json", "print exactly one JSON value on stdout")
      .option("--config <file>", "configuration file (POSTERN_CONFIG; default ./postern.yaml)")
      .option("--data <folder>", "data folder (POSTERN_DATA)")
      .addHelpText("after", exampleText(examples))
      .action(async (...given: unknown[]) => {
        const options = command.opts<Options & CommonOptions>();
        const exitCode = await handler({ options, args: command.args, output: new Output(options.json === true) });
        this.#state.exitCode = exitCode ?? 0;
        void given;
      });
  }
}

function exampleText(examples: ReadonlyArray<readonly [string, string]>): string {
  return ["", "Examples:", ...examples.flatMap(([line, meaning]) => [`  # ${meaning}`, `  $ ${line}`])].join("\n");
}

/** A wrong use of the command line: exit code 2. */
export function usageError(message: string, hint?: string): PosternError {
  return new PosternError("usage", { message, ...(hint === undefined ? {} : { hint }) });
}
