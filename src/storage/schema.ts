import type { AuditRow } from "./audit-chain.ts";

/**
 * The tables as Kysely sees them, one set for every database.
 *
 * Times are integer UTC milliseconds, money integer micro-dollars, booleans 0 or 1 (SQLite has no other), lists JSON text,
 * ids UUIDv7 text. A column that is added here is added by a new migration, never by a change to an old one.
 */
export interface Tables {
  schema_versions: { version: number; name: string; applied_at_ms: number };
  settings: { name: string; value: Uint8Array };
  keys: {
    id: string;
    name: string;
    hash: Uint8Array;
    /** Of the secret before the last rotation, and until when it is good. */
    previous_hash: Uint8Array | null;
    previous_until_ms: number | null;
    /** JSON, as `writePolicy` writes it. */
    policy: string;
    created_at_ms: number;
    disabled_at_ms: number | null;
    revoked_at_ms: number | null;
  };
  nodes: {
    id: string;
    name: string;
    created_at_ms: number;
    /** JSON array of globs, or null for names that no other node serves. */
    grants: string | null;
    /** JSON array, or null for none. */
    tags: string | null;
    locality: string;
  };
  connectors: {
    id: string;
    node_id: string;
    public_key: Uint8Array;
    created_at_ms: number;
    last_seen_at_ms: number | null;
    last_epoch: number;
    is_ephemeral: number;
  };
  invitations: {
    id: string;
    node_id: string;
    hash: Uint8Array;
    created_at_ms: number;
    expires_at_ms: number;
    max_uses: number;
    uses: number;
    is_ephemeral: number;
  };
  audit: AuditRow;
  drills: { id: string; plan: string; started_at_ms: number; ended_at_ms: number | null; body: string };
  endpoints: {
    name: string;
    host: string | null;
    path: string | null;
    /** JSON array of globs, or null for every model. */
    models: string | null;
    may_leave: number;
    prefer: string;
    fallback: string;
    /** JSON object of the lists `nodes`, `tags`, `providers`, or null for every target. */
    targets: string | null;
    owner: string | null;
    purpose: string | null;
    /** `YYYY-MM-DD`. */
    review_on: string | null;
    created_at_ms: number;
  };
  address_rules: {
    name: string;
    effect: string;
    range: string;
    /** Null: all endpoints. No foreign key: the endpoint may be one of the file. */
    endpoint: string | null;
    key: string | null;
    label: string | null;
    purpose: string | null;
    owner: string | null;
    may_rotate: number;
    created_at_ms: number;
    expires_at_ms: number | null;
  };
  admin_tokens: {
    id: string;
    name: string;
    hash: Uint8Array;
    role: string;
    /** JSON array, or null for all that the role may. */
    scopes: string | null;
    /** JSON of a policy that no key made with it may exceed; null: none. */
    ceiling: string | null;
    created_by: string;
    created_at_ms: number;
    expires_at_ms: number | null;
    revoked_at_ms: number | null;
  };
  admin_users: {
    id: string;
    name: string;
    role: string;
    password_hash: string;
    created_at_ms: number;
    password_changed_at_ms: number;
  };
  admin_sessions: {
    id: string;
    hash: Uint8Array;
    user_id: string;
    address: string;
    created_at_ms: number;
    last_seen_at_ms: number;
    expires_at_ms: number;
  };
  alerts: {
    id: string;
    rule: string;
    key: string;
    severity: string;
    summary: string;
    /** JSON object of texts. */
    labels: string;
    started_at_ms: number;
    fired_at_ms: number;
    resolved_at_ms: number | null;
    told_at_ms: number | null;
    acked_at_ms: number | null;
    acked_by: string | null;
    ack_note: string | null;
  };
  alert_deliveries: {
    alert_id: string;
    notification_id: string;
    channel: string;
    kind: string;
    status: string;
    is_delivered: number;
    attempts: number;
    detail: string;
    at_ms: number;
  };
  alert_silences: {
    id: string;
    rule: string;
    key: string | null;
    reason: string;
    created_by: string;
    created_at_ms: number;
    until_ms: number;
  };
  requests: RequestTable;
  attempts: AttemptTable;
  daily_usage: DailyUsageTable;
}

/** Append-only: a row is written when the request is closed and never changed. */
export interface RequestTable {
  id: string;
  endpoint_id: string;
  key_id: string;
  operation: string;
  model: string;
  is_stream: number;
  opened_at_ms: number;
  request_bytes: number;
  closed_at_ms: number;
  outcome: string;
  status: number;
  error_code: string | null;
  tokens_in: number;
  tokens_in_cached: number;
  tokens_out: number;
  /** A part of `tokens_out`; null where the engine does not tell thinking apart. */
  tokens_reasoning: number | null;
  is_estimated: number;
  time_to_first_token_ms: number | null;
  duration_ms: number;
  cost_micros: number;
  workflow: string | null;
  /** Not null: it belongs to the log of contingency. */
  contingency: string | null;
  fallback: string | null;
  /** Node of the last attempt, `provider/NAME` where a provider was last, empty where nothing was tried. */
  served_by: string;
  /** Tokens and milliseconds that count towards tokens per second (see `generationOf`). */
  generation_tokens: number;
  generation_ms: number;
}

export interface AttemptTable {
  request_id: string;
  position: number;
  id: string;
  target: string;
  node_id: string | null;
  engine: string;
  engine_model: string;
  started_at_ms: number;
  ended_at_ms: number;
  status: number;
  error_code: string | null;
  bytes_out: number;
}

/** Sums per UTC day of closing, written in the transaction that writes the requests: always in step with them. */
export interface DailyUsageTable {
  /** Days since 1970-01-01 UTC. */
  day: number;
  endpoint_id: string;
  key_id: string;
  model: string;
  served_by: string;
  requests: number;
  failed: number;
  aborted: number;
  estimated: number;
  tokens_in: number;
  tokens_in_cached: number;
  tokens_out: number;
  /** Of the requests whose engine told. */
  tokens_reasoning: number;
  first_token_count: number;
  first_token_ms: number;
  generation_tokens: number;
  generation_ms: number;
  cost_micros: number;
}
