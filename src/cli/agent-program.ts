import { Command } from "commander";
import { VERSION } from "../lib/version.ts";
import { addAgentCommand } from "./commands/agent.ts";
import { CommandSet } from "./invocation.ts";
import { runProgram } from "./run-program.ts";

/**
 * The command line of the one-file agent: `agent` and `agent join`, and nothing of the gateway.
 *
 * @param engineEntry The file itself, which the embedded engine's process runs too.
 */
export function runAgentProgram(argv: readonly string[], engineEntry: URL): Promise<number> {
  return runProgram(argv, (state) => {
    const program = new Command("postern").version(VERSION, "-v, --version", "print the version").exitOverride();
    addAgentCommand(program, new CommandSet(state), engineEntry);
    return program;
  });
}
