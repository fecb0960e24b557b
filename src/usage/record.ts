/**
 * What is written down about a request. Append-only: a record is opened at dispatch and closed once.
 *
 * Ids are UUIDv7, times integer UTC milliseconds, money integer micro-dollars. No prompt, no reply, no key.
 */
export interface RequestOpened {
  id: string;
  endpointId: string;
  keyId: string;
  operation: string;
  /** Public model name after alias resolution. */
  model: string;
  isStream: boolean;
  openedAtMs: number;
  /** Bytes of the request body as received; the estimate of an interrupted request starts from it. */
  requestBytes: number;
}

export type Outcome =
  /** Complete, with evidence. */
  | "ok"
  /** The caller left before the end. */
  | "aborted"
  /** An engine, agent, link or provider failed and no other could answer. */
  | "failed"
  /** Refused after dispatch had begun, or ended by revocation, drain or deadline. */
  | "stopped"
  /** Found open after the gateway was killed; settled at the next start with an estimate. */
  | "interrupted";

export interface RequestClosed {
  id: string;
  closedAtMs: number;
  outcome: Outcome;
  /** Status the caller saw; 0 when none was sent. */
  status: number;
  /** Our error code, or null. */
  errorCode: string | null;
  tokensIn: number;
  tokensInCached: number;
  tokensOut: number;
  /** True where a token count is not the engine's own word. */
  isEstimated: boolean;
  timeToFirstTokenMs: number | null;
  durationMs: number;
  costMicros: number;
  attempts: AttemptRecord[];
}

export interface AttemptRecord {
  id: string;
  /** Order within its request, from 0. */
  index: number;
  /** `node/NAME` or `provider/NAME`. */
  target: string;
  nodeId: string | null;
  engine: string;
  engineModel: string;
  startedAtMs: number;
  endedAtMs: number;
  status: number;
  errorCode: string | null;
  bytesOut: number;
}

/** Where the data plane leaves its records. Synchronous and quick: a `write(2)` to the journal, never a database call. */
export interface Ledger {
  /** Called at dispatch, before anything is sent upstream. Never throws: a full disk is reported by `health`. */
  open(record: RequestOpened): void;
  /** Called before the last byte goes to the caller, exactly once per opened record. Never throws. */
  close(record: RequestClosed): void;
  health(): LedgerHealth;
}

export interface LedgerHealth {
  state: "ok" | "spooling" | "failing";
  /** In plain words with the next step, or null. */
  reason: string | null;
  /** Records that wait in memory because the disk would not take them. Bounded; see `lost`. */
  waiting: number;
  /** Records dropped since start because the spool was full. */
  lost: number;
}
