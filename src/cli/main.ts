import { buildProgram } from "./program.ts";
import { runProgram } from "./run-program.ts";

/**
 * Runs one `postern` command line.
 *
 * @param argv Without the program's own two words.
 * @returns the exit code: 0, 1 (failed) or 2 (not understood). Prints what went wrong; does not throw.
 */
export function main(argv: readonly string[]): Promise<number> {
  return runProgram(argv, buildProgram);
}
