import { type Command, CommanderError } from "commander";
import { toPosternError } from "../errors.ts";
import type { RunState } from "./invocation.ts";
import { Output } from "./output.ts";

/**
 * Runs one command line with a command tree.
 *
 * @returns the exit code: 0, 1 (failed) or 2 (not understood). Prints what went wrong; does not throw.
 */
export async function runProgram(argv: readonly string[], build: (state: RunState) => Command): Promise<number> {
  // A reader that has seen enough (`| head`) is not a failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(0);
  });
  const state = { exitCode: 0 };
  try {
    const program = build(state);
    if (argv.length === 0) {
      program.outputHelp();
      return 0;
    }
    await program.parseAsync(argv, { from: "user" });
    return state.exitCode;
  } catch (error) {
    return report(error, argv.includes("--json"));
  }
}

function report(error: unknown, isJson: boolean): number {
  if (error instanceof CommanderError) {
    // Commander has printed its own line, or the help that was asked for.
    if (error.exitCode === 0) return 0;
    if (isJson) {
      const message = error.message.replace(/^error: /, "");
      process.stdout.write(`${JSON.stringify({ error: { code: "usage", message, hint: null } })}\n`);
    }
    return 2;
  }
  const known = toPosternError(error);
  new Output(isJson).error(known);
  if (known.code === "internal") process.stderr.write(`${describe(error)}\n`);
  return known.code === "usage" ? 2 : 1;
}

/** An error that is none of ours is a bug, and its stack is what the report of it needs. */
function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
