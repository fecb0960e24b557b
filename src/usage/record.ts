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
  /** The label of the key's policy; null where it has none. */
  workflow: string | null;
  /** What had put the request under contingency when it came; null: nothing. */
  contingency: string | null;
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
  /** Tokens of thinking, a part of `tokensOut`; null where the engine does not tell them apart. */
  tokensReasoning: number | null;
  /** True where a token count is not the engine's own word. */
  isEstimated: boolean;
  timeToFirstTokenMs: number | null;
  durationMs: number;
  costMicros: number;
  /** What had put the request under contingency, when it came or when it was sent out; null: nothing. */
  contingency: string | null;
  /** Why it was not served where it otherwise would be; null: it was. */
  fallback: string | null;
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

/**
 * Where the data plane leaves its records. Quick: a `write(2)` to the journal, never a database call.
 *
 * `then` is called once the record is with the operating system, which is in this turn of the event loop: what many requests
 * leave in one turn is one write. Where the disk does not take it the record waits in memory and `then` is called all the
 * same. It never comes before the call has returned. Without `then` the record is written before the call returns.
 */
export interface Ledger {
  /** Called before anything is sent upstream. Never throws: a full disk is reported by `health`. @param then Must not throw. */
  open(record: RequestOpened, then?: () => void): OpenRecord;
  health(): LedgerHealth;
}

/** A record that is open. */
export interface OpenRecord {
  /** Called exactly once; the last byte goes to the caller in `then`. Never throws. @param then Must not throw. */
  close(record: RequestClosed, then?: () => void): void;
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
