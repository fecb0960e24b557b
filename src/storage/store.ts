import type { AddressRule } from "../access/address-rule.ts";
import type { Endpoint } from "../access/endpoint.ts";
import type { KeyRecord } from "../access/key.ts";
import type { RequestClosed, RequestOpened } from "../usage/record.ts";
import type { AlertStore } from "./alert-store.ts";
import type { AuditDraft, AuditEntry, AuditHead } from "./audit-chain.ts";

/**
 * Everything durable that a gateway knows. Asynchronous, off the request path; one implementation per database.
 *
 * Every method rejects with a `PosternError` of the `store_*` codes, never with a driver's own error.
 */
export interface Store {
  keys: KeyStore;
  nodes: NodeStore;
  places: PlaceStore;
  settings: SettingStore;
  tokens: TokenStore;
  users: UserStore;
  sessions: SessionStore;
  alerts: AlertStore;
  usage: UsageStore;
  audit: AuditStore;
  drills: DrillStore;
  /**
   * The parts of the store that can be changed, such that the one change that is made through them and the entry about it are
   * written in one transaction: neither is ever there without the other. A call that changes nothing (its answer is `false` or
   * `null`) writes no entry.
   */
  audited(entry: AuditDraft): Changes;
  /** Writes a consistent copy to `path` while serving. Rejects if the file exists. */
  backup(path: string): Promise<void>;
  /** Null when well; otherwise plain words with the next step. */
  health(): Promise<string | null>;
  close(): Promise<void>;
}

/** What people and agents change. */
export type Changes = Pick<
  Store,
  "keys" | "nodes" | "places" | "settings" | "tokens" | "users" | "sessions" | "alerts" | "drills"
>;

/** A token of the admin API. */
export interface TokenRecord {
  /** The 12 characters of public id inside the token. */
  id: string;
  name: string;
  /** SHA-256 of the whole token, 32 bytes. */
  hash: Uint8Array;
  role: string;
  /** Null: all that the role may. */
  scopes: string[] | null;
  /** The policy, as `writePolicy` wrote it, that no key made or changed with it may exceed; null: none. */
  ceiling: string | null;
  /** `token ID`, `user ID`, `socket NAME`: whose end is its end too. */
  createdBy: string;
  createdAtMs: number;
  expiresAtMs: number | null;
  revokedAtMs: number | null;
}

export interface TokenStore {
  insert(token: TokenRecord): Promise<void>;
  list(): Promise<TokenRecord[]>;
  /** Sets the time of revocation once. False when none of them was still good. */
  revoke(ids: readonly string[], atMs: number): Promise<boolean>;
}

/** Somebody who logs in with a password. */
export interface UserRecord {
  id: string;
  name: string;
  role: string;
  /** argon2id in the PHC string format, salt and costs included. */
  passwordHash: string;
  createdAtMs: number;
  passwordChangedAtMs: number;
}

export interface UserStore {
  /** Rejects with `already_exists` when the name is taken. */
  insert(user: UserRecord): Promise<void>;
  list(): Promise<UserRecord[]>;
  /** Sets role and password, and ends the user's sessions. False when there is no such user. */
  update(user: UserRecord): Promise<boolean>;
  /** Sessions go with it. */
  remove(id: string): Promise<boolean>;
}

/** A browser that is logged in. */
export interface SessionRecord {
  id: string;
  /** SHA-256 of the cookie's value, 32 bytes. */
  hash: Uint8Array;
  userId: string;
  /** Where the login came from. */
  address: string;
  createdAtMs: number;
  lastSeenAtMs: number;
  expiresAtMs: number;
}

export interface SessionStore {
  insert(session: SessionRecord): Promise<void>;
  list(): Promise<SessionRecord[]>;
  touch(id: string, seenAtMs: number): Promise<void>;
  /** False when none of them was there. */
  remove(ids: readonly string[]): Promise<boolean>;
}

/** The audit trail: append-only, each entry chained to the one before by its hash. */
export interface AuditStore {
  /** For what is no change of the store: refused calls, and changes of what is only in memory. */
  append(entry: AuditDraft): Promise<void>;
  /** Newest first. */
  list(query: AuditQuery): Promise<AuditEntry[]>;
  /** Deletes entries from before then; the chain stays verifiable. @param entry Says so in the trail. @returns how many. */
  prune(beforeMs: number, entry: AuditDraft): Promise<number>;
  /** Walks the whole chain. @param anchor A head that was kept elsewhere; the chain must still hold it. */
  verify(anchor: AuditHead | null): Promise<AuditVerdict>;
}

/** Null is no limit. */
export interface AuditQuery {
  /** `token 1a2b3c4d5e6f`: kind, and id or name. */
  actor: string | null;
  action: string | null;
  sinceMs: number | null;
  /** Only entries before this one, for the next page. */
  beforeSeq: number | null;
  limit: number;
}

export interface AuditVerdict {
  /** Entries that are as they were written. */
  entries: number;
  /** Older entries that retention has deleted. */
  deleted: number;
  /** The last of them. */
  head: AuditHead;
  /** The first entry that is not, and how it shows. */
  fault: { seq: number; reason: string } | null;
}

export interface KeyStore {
  insert(key: KeyRecord): Promise<void>;
  list(): Promise<KeyRecord[]>;
  /** The key of that id, or else all of that name. */
  find(idOrName: string): Promise<KeyRecord[]>;
  /**
   * Changes what is named and nothing else, so that two changes at one time do not undo each other. A revoked key is changed
   * no more.
   *
   * @returns the key as it is now, or null when there is none of that id or it was revoked before.
   */
  update(id: string, changes: KeyChanges): Promise<KeyRecord | null>;
}

export interface EndpointRecord extends Endpoint {
  createdAtMs: number;
}

export interface RuleRecord extends AddressRule {
  createdAtMs: number;
}

/** Endpoints and rules about addresses, those of the configuration file left out. */
export interface PlaceStore {
  /** By name. */
  endpoints(): Promise<EndpointRecord[]>;
  insertEndpoint(endpoint: EndpointRecord): Promise<void>;
  /** Replaces the one of that name, its time of creation left alone. Returns false if there is none. */
  updateEndpoint(endpoint: EndpointRecord): Promise<boolean>;
  /** Removes the endpoint with the rules that are about it. Returns false if there is none. */
  removeEndpoint(name: string): Promise<boolean>;
  /** Oldest first. */
  rules(): Promise<RuleRecord[]>;
  insertRule(rule: RuleRecord): Promise<void>;
  removeRule(name: string): Promise<boolean>;
}
/** What may change of a key. */
export type KeyChanges = Partial<
  Pick<KeyRecord, "name" | "hash" | "previousHash" | "previousUntilMs" | "policy" | "disabledAtMs" | "revokedAtMs">
>;

export interface NodeRecord {
  id: string;
  name: string;
  createdAtMs: number;
  /** Globs of model names that the node may serve; null: names that no other node serves. */
  grants: string[] | null;
  /** For the `targets` of policies. */
  tags: string[];
  /** Whose machine it is; requests that may not leave go to no rented one. */
  locality: "own" | "rented";
}

/** What of a node may change. */
export type NodeChanges = Partial<Pick<NodeRecord, "grants" | "tags" | "locality">>;

/** One approved agent installation of a node. */
export interface ConnectorRecord {
  id: string;
  nodeId: string;
  /** Raw Ed25519 public key, 32 bytes. */
  publicKey: Uint8Array;
  createdAtMs: number;
  lastSeenAtMs: number | null;
  /** Highest epoch seen per slot is kept in memory; this one survives restarts. */
  lastEpoch: number;
  isEphemeral: boolean;
}

export interface InvitationRecord {
  id: string;
  nodeId: string;
  /** SHA-256 of the secret part, 32 bytes. */
  hash: Uint8Array;
  createdAtMs: number;
  expiresAtMs: number;
  maxUses: number;
  uses: number;
  isEphemeral: boolean;
}

export interface NodeStore {
  list(): Promise<NodeRecord[]>;
  insert(node: NodeRecord): Promise<void>;
  /** Returns false if there is no such node. */
  update(id: string, changes: NodeChanges): Promise<boolean>;
  /** Removes the node with its connectors and invitations. Returns false if there is none. */
  remove(id: string): Promise<boolean>;
  connectors(): Promise<ConnectorRecord[]>;
  removeConnector(id: string): Promise<boolean>;
  touchConnector(id: string, seenAtMs: number, epoch: number): Promise<void>;
  insertInvitation(invitation: InvitationRecord): Promise<void>;
  invitations(): Promise<InvitationRecord[]>;
  /**
   * Uses an invitation up and approves the connector in one transaction.
   *
   * @returns the node, or null when the invitation is unknown, expired or used up (the caller must not learn which).
   */
  redeemInvitation(
    id: string,
    hash: Uint8Array,
    connector: Omit<ConnectorRecord, "nodeId" | "isEphemeral">,
    nowMs: number,
  ): Promise<NodeRecord | null>;
}

/** Small values of the gateway itself: identity key, schema facts. Bytes, because some are secrets in 0600 files. */
export interface SettingStore {
  get(name: string): Promise<Uint8Array | null>;
  set(name: string, value: Uint8Array): Promise<void>;
}

/** A failover drill as it is kept. */
export interface DrillRow {
  id: string;
  /** Name of its plan. */
  plan: string;
  startedAtMs: number;
  /** Set when it is over, whatever became of it. */
  endedAtMs: number | null;
  /** Everything else, as `continuity/drill/record.ts` has it, in JSON. */
  body: string;
}

export interface DrillStore {
  /** Writes it down, or what it is by now. */
  put(drill: DrillRow): Promise<void>;
  find(id: string): Promise<DrillRow | null>;
  /** Newest first. @param plan Null: of every plan. */
  list(plan: string | null, limit: number): Promise<DrillRow[]>;
  /** Those that are not over: after a start, what the last process left behind. */
  unfinished(): Promise<DrillRow[]>;
}

/** What became of a block of journal lines. */
export interface IngestResult {
  /** Requests that are new in the store. */
  taken: number;
  /** Requests that were there before: a replay. */
  known: number;
  /** Lines that are not a record. They were skipped. */
  unreadable: number;
}

export interface UsageStore {
  /**
   * Takes closed requests in: journal lines as `journal-line.ts` writes them. They cross to the database's thread as bytes and
   * are read there. Idempotent by request id, any order, any repetition; durable (on the disk) when it resolves.
   *
   * @param lines Handed over: the caller must not use the buffer afterwards, it may have moved to another thread.
   */
  ingest(lines: Uint8Array): Promise<IngestResult>;
  /** Sums per group, largest number of requests first; days in order. Reads one consistent state; never blocks a writer. */
  report(query: UsageQuery): Promise<UsageRow[]>;
  /** The same before anything is written, by whoever writes: a start does not pay for a reader that nothing else needs yet. */
  reportAtStart(query: UsageQuery): Promise<UsageRow[]>;
  request(id: string): Promise<RequestDetail | null>;
  /** Finished requests, newest first. Looks at a bounded number of rows, so that a page may be short and have a next one. */
  requests(query: RequestListQuery): Promise<RequestListPage>;
  /** Complete answers by who gave them, of attempts that began after `sinceMs` and before `untilMs`. */
  answered(sinceMs: number, untilMs: number): Promise<AnsweredRow[]>;
  /** Requests closed since then, by hour of the week: 168 numbers from Sunday 0:00 UTC. */
  perHourOfWeek(sinceMs: number): Promise<number[]>;
  /**
   * Deletes requests and attempts closed before `beforeMs` in small steps; daily rollups stay. Returns the number deleted.
   * Call it only when the journal has been replayed: a record that is replayed after it was pruned counts twice.
   */
  prune(beforeMs: number): Promise<number>;
}

/**
 * Requests that were closed from `sinceMs` up to, not including, `untilMs`.
 *
 * Whole UTC days come from rollups, which are kept for ever; the days that the limits cut come from the requests themselves, so
 * what was pruned is missing there. Where that matters, ask from midnight.
 */
export interface UsageQuery {
  by: "key" | "model" | "node" | "endpoint" | "day";
  sinceMs: number;
  untilMs: number;
}

export interface UsageRow {
  /**
   * Key id, model, node id, endpoint or `YYYY-MM-DD` (UTC), by `UsageQuery.by`. By node: `provider/NAME` where a provider answered last,
   * empty where nothing was tried.
   */
  group: string;
  requests: number;
  /** Neither complete nor left by the caller: outcomes `failed`, `stopped` and `interrupted`. */
  failed: number;
  aborted: number;
  tokensIn: number;
  tokensInCached: number;
  tokensOut: number;
  /** Tokens of thinking among `tokensOut`, of the requests whose engine tells them apart. */
  tokensReasoning: number;
  /** Requests among them whose counts are estimates. */
  estimated: number;
  /** Mean over the requests that had a first token; null when none had. */
  timeToFirstTokenMs: number | null;
  /** Tokens over time of generation, both summed, estimates left out (see `generationOf`); null when there is nothing to divide. */
  tokensPerSecond: number | null;
  costMicros: number;
}

/** One body, as far as it is kept. */
export interface CapturedPart {
  kept: Buffer;
  /** How long it was. */
  bytes: number;
  /** Only its beginning is kept. */
  isCut: boolean;
}

/** What a caller sent and got, of a key whose policy has `capture`. */
export interface Capture {
  /** Of the request. */
  id: string;
  keyId: string;
  operation: string;
  model: string;
  capturedAtMs: number;
  /** From then on it is gone. */
  expiresAtMs: number;
  /** The body of the request as it came; null where the key's policy does not say so. */
  request: CapturedPart | null;
  /** The body of the answer as it went out. */
  answer: CapturedPart | null;
}

/** Prompts and answers, apart from everything else that is stored. Every method rejects with `data_folder`. */
export interface CaptureStore {
  read(requestId: string): Promise<Capture | null>;
  /** Deletes all that there is of a key. @returns how many those were. */
  forgetKey(keyId: string): Promise<number>;
}

/** Who answered how many requests of a key for a model. */
export interface AnsweredRow {
  /** `node/NAME` or `provider/NAME`. */
  target: string;
  keyId: string;
  model: string;
  requests: number;
}

/** Null is no limit. Times are those of arrival, which the ids carry. */
export interface RequestListQuery {
  keyId: string | null;
  model: string | null;
  workflow: string | null;
  outcome: string | null;
  /** Only what ran under contingency. */
  isContingency: boolean;
  sinceMs: number | null;
  untilMs: number | null;
  /** `next` of the page before. */
  before: string | null;
  limit: number;
}

export interface RequestListPage {
  requests: Array<Omit<RequestDetail, "attempts">>;
  next: string | null;
}

/** The whole truth of one request that is closed. */
export interface RequestDetail extends RequestOpened, RequestClosed {
  /** Id of the last attempt's node, `provider/NAME` where a provider was last, empty where nothing was tried. */
  servedBy: string;
  contingency: string | null;
}
