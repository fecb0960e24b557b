import { join } from "node:path";
import { run } from "./children.ts";

/** What many targets cost, and one that is away. */
export interface ContinuityResult {
  targets: number;
  /** Processor time of one plan over that many targets, in microseconds. */
  planningUs: number;
  /** What the first refused connection adds to its request, in milliseconds. */
  firstFailureMs: number;
  /** What a target that is known to be away adds to a request, median, in milliseconds. */
  knownBadMs: number;
}

/** Measures in a process of its own. Needs no peer and no compiler. */
export async function measureContinuity(): Promise<ContinuityResult> {
  const script = join(import.meta.dirname, "continuity-run.ts");
  return JSON.parse(await run("continuity", process.execPath, [script], {})) as ContinuityResult;
}
