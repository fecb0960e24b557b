import type { Clock } from "./clock.ts";
import type { AttemptFailure } from "./failover-error.ts";

/** A base URL for the SDK that leads nowhere: `.invalid` is never resolved, so a forgotten `fetch` option sends nothing anywhere. */
export const FAILOVER_BASE_URL = "https://failover.invalid";

/** How long one attempt may take. Milliseconds, 1 to 86,400,000. */
export interface TargetTimes {
  /** A streamed answer must have content by then. Default 15 s for `cloud`, 60 s for `own`. */
  firstTokenMs: number;
  /** Longest silence of a stream that has begun. Default 60 s for `cloud`, 120 s for `own`. */
  idleMs: number;
  /** An answer that is not streamed must be there whole by then. Default 60 s for `cloud`, 300 s for `own`. */
  totalMs: number;
  /** A streamed answer must have ended by then. Default 60 minutes. */
  streamTotalMs: number;
}

/** A place that can answer. */
export interface FailoverTarget {
  /** Shown in the response header, callbacks and errors: 1 to 64 of letters, digits, `.`, `_` and `-`. */
  name: string;
  /** What you would give to the SDK as its base URL. */
  baseUrl: string;
  /** `own`: data stays with you. `cloud`: somebody else's. Local-only and contingency go by this, so there is no default. */
  locality: "own" | "cloud";
  /** The target's key, or a function that is asked for it before each attempt. Sent to this target only. Left out: none is sent. */
  apiKey?: string | (() => string);
  /** How the key is sent. Default: `x-api-key` for requests of `@anthropic-ai/sdk`, else `bearer`. */
  auth?: "bearer" | "x-api-key";
  /** Headers for this target only, such as `OpenAI-Organization`. */
  headers?: Readonly<Record<string, string>>;
  /** The caller's model name → this target's. `"*"` stands for all others. A name that is not here goes through as it is. */
  models?: Readonly<Record<string, string>>;
  times?: Partial<TargetTimes>;
}

/** Told once for each request that a target answers. */
export interface Served {
  target: string;
  locality: "own" | "cloud";
  status: number;
  /** The failures before it, in order; empty when the first target answered. */
  failed: readonly AttemptFailure[];
  /** Whether contingency was on. */
  isContingency: boolean;
  /** Whether the request was bound to `own` targets. */
  isLocalOnly: boolean;
  elapsedMs: number;
}

/** What {@link createFailoverFetch} takes. */
export interface FailoverOptions {
  /** In order of preference; 1 to 16. */
  targets: readonly FailoverTarget[];
  /** Cloud targets are left out for good. Default false. For single requests see `FailoverFetch.localOnly`. */
  localOnly?: boolean;
  /** Base URLs that the SDK may have. Default: {@link FAILOVER_BASE_URL} and the defaults of the two packages. */
  callerBaseUrls?: readonly string[];
  /** Names of more request headers that every target may see. Never one with a credential. */
  forwardHeaders?: readonly string[];
  /** Called for each failed attempt, also for a stream that broke later. What it throws is ignored. */
  onFailedAttempt?: (failure: AttemptFailure) => void;
  /** Called when an answer is handed over. What it throws is ignored. */
  onServed?: (served: Served) => void;
  /** What sends. Default: the platform's `fetch`. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** For tests. */
  clock?: Clock;
  /** For tests: 0 to below 1, as `Math.random`. */
  random?: () => number;
}
