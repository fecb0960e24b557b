import type { KeyRecord } from "../access/key.ts";
import type { Outcome, RequestClosed, RequestOpened } from "../usage/record.ts";

/**
 * Everything durable that a gateway knows. Asynchronous, off the request path; one implementation per database.
 *
 * Every method rejects with a `PosternError` of the `store_*` codes, never with a driver's own error.
 */
export interface Store {
  keys: KeyStore;
  nodes: NodeStore;
  settings: SettingStore;
  usage: UsageStore;
  /** Writes a consistent copy to `path` while serving. Rejects if the file exists. */
  backup(path: string): Promise<void>;
  /** Null when well; otherwise plain words with the next step. */
  health(): Promise<string | null>;
  close(): Promise<void>;
}

export interface KeyStore {
  insert(key: KeyRecord): Promise<void>;
  list(): Promise<KeyRecord[]>;
  /** Sets the time of revocation once; returns false if there is no such key or it was revoked before. */
  revoke(id: string, atMs: number): Promise<boolean>;
}

export interface NodeRecord {
  id: string;
  name: string;
  createdAtMs: number;
  /** Globs of model names that the node may serve; null: names that no other node serves. */
  grants: string[] | null;
}

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

export interface UsageStore {
  /** Takes journal entries in; idempotent by id, any order, any repetition. */
  ingest(opened: RequestOpened[], closed: RequestClosed[]): Promise<void>;
  /** Ids among `ids` that are already closed in the store. */
  closedAmong(ids: string[]): Promise<Set<string>>;
  report(query: UsageQuery): Promise<UsageRow[]>;
  request(id: string): Promise<RequestDetail | null>;
  /** Deletes requests and attempts closed before `beforeMs` in small steps; daily rollups stay. Returns the number deleted. */
  prune(beforeMs: number): Promise<number>;
}

export interface UsageQuery {
  by: "key" | "model" | "node" | "day";
  sinceMs: number;
  untilMs: number;
}

export interface UsageRow {
  /** Key id, model, node id or `YYYY-MM-DD` (UTC), by `UsageQuery.by`. */
  group: string;
  requests: number;
  failed: number;
  aborted: number;
  tokensIn: number;
  tokensInCached: number;
  tokensOut: number;
  /** Requests among them whose counts are estimates. */
  estimated: number;
  timeToFirstTokenMs: number | null;
  tokensPerSecond: number | null;
  costMicros: number;
}

export interface RequestDetail extends RequestOpened, Omit<RequestClosed, "outcome"> {
  outcome: Outcome;
}
