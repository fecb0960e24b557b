import type { ErrorCode } from "../errors.ts";
import type { RequestClosed, RequestOpened } from "../usage/record.ts";
import type { Target } from "./target.ts";

/** What is told of a request when it is over. No prompt, no reply, no key. */
export interface RequestSummary {
  id: string;
  /** Null where the request was refused before it was known. */
  opened: RequestOpened | null;
  closed: RequestClosed | null;
  method: string;
  /** Id of the operation; null for an unknown one (the path itself is the caller's text and stays out of logs). */
  operation: string | null;
  dialect: string | null;
  /** Null where the host was not ours. */
  endpoint: string | null;
  keyId: string | null;
  /** Name of the rule that put the caller's address in the place of a key. */
  ambient: string | null;
  remoteAddress: string;
  status: number;
  errorCode: string | null;
  /** For the log only: why in more words. */
  detail: Record<string, unknown> | null;
  /** Limits in shadow that would have refused it; null where none. */
  shadow: readonly string[] | null;
  /** The budget of the key whose soft edge is reached; null where none is. */
  softBudget: string | null;
  servedBy: string | null;
  durationMs: number;
  /** Time from the request's arrival to the first dispatch, waiting for the body left out. */
  overheadMs: number | null;
  bytesOut: number;
}

/** What is told of one attempt when it is over. */
export interface AttemptSummary {
  target: Target;
  /**
   * `ok`: the whole answer. `refused`: an error about the request, which the target is well to give. `failed`: the target's or
   * the way's trouble. `abandoned`: ended by us or by the caller, so that it says nothing about the target.
   */
  verdict: "ok" | "refused" | "failed" | "abandoned";
  /** Set where it failed or was refused. */
  code: ErrorCode | null;
  /** From the attempt's start to its first content; null where there was none. */
  firstTokenMs: number | null;
  durationMs: number;
}

/** Where the data plane reports: metrics and the access log. Must be quick and must not throw. */
export interface ProxyObserver {
  streamStarted(): void;
  streamEnded(): void;
  /** Called for every attempt, in the turn in which it ends. */
  attemptEnded(summary: AttemptSummary): void;
  /** An attempt failed and another target took over. */
  failover(from: string, to: string, reason: string): void;
  ended(summary: RequestSummary): void;
}
