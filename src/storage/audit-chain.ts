import { hash } from "node:crypto";
import { canonicalJson } from "../lib/canonical-json.ts";

/** Who did something, as the audit trail names them. */
export interface AuditActor {
  /** `socket`, `offline`, `token`, `user`, `agent`, `gateway`, `anonymous`. */
  kind: string;
  /** Public id of the token, user or connector; null where there is none. */
  id: string | null;
  name: string;
  /** Where from; null on this machine. */
  address: string | null;
}

/** What is written down about one change or one refused call. Holds no secret: neither a key nor its hash. */
export interface AuditDraft {
  atMs: number;
  actor: AuditActor;
  /** `keys.create`, `nodes.remove`, `refused`. */
  action: string;
  /** What it was done to: `key 1a2b…`, `node forge`. */
  subject: string;
  /** State before and after, as the API shows it; null where there was or is none. */
  before: unknown;
  after: unknown;
}

/** One link of the chain. */
export interface AuditEntry extends AuditDraft {
  /** From 1, without gaps. */
  seq: number;
  /** Hash of the entry before; 64 zeros for the first. */
  previous: string;
  /** SHA-256 of all of it as canonical JSON, `previous` included, in hex. */
  hash: string;
}

/** End of a chain: keep it elsewhere, and nobody can rewrite what was before it unseen. */
export interface AuditHead {
  seq: number;
  hash: string;
}

/** What the first entry is chained to. */
export const NO_HEAD: AuditHead = { seq: 0, hash: "0".repeat(64) };

/** A row of the table: the body is what is hashed, the other columns are there to be searched. */
export interface AuditRow {
  seq: number;
  at_ms: number;
  actor: string;
  action: string;
  subject: string;
  body: string;
  hash: string;
}

/** The next row of a chain that ends with `head`. */
export function chainRow({ atMs, actor, action, subject, before, after }: AuditDraft, head: AuditHead): AuditRow {
  const seq = head.seq + 1;
  const body = canonicalJson({ seq, atMs, actor, action, subject, before, after, previous: head.hash });
  return { seq, at_ms: atMs, actor: actorLabel(actor), action, subject, body, hash: hash("sha256", body) };
}

/** `token 1a2b3c4d5e6f`; how entries are found by who made them. */
function actorLabel({ kind, id, name }: AuditActor): string {
  return `${kind} ${id ?? name}`;
}

/** The entry of a row that is as it was written. */
export function toAuditEntry(row: AuditRow): AuditEntry {
  return { ...(JSON.parse(row.body) as Omit<AuditEntry, "hash">), hash: row.hash };
}

/** What is wrong with a row whose number is the one after `head`, in words; null when it follows. */
export function findBreak(row: AuditRow, head: AuditHead): string | null {
  if (hash("sha256", row.body) !== row.hash) return "its content was changed: the hash does not fit";
  const entry = readEntry(row);
  if (entry === null) return "its content is not an entry";
  if (entry.seq !== row.seq) return `it is entry ${entry.seq}, moved to another place`;
  if (entry.previous !== head.hash) return "it does not follow the entry before it: one of the two was replaced";
  const { at_ms, actor, action, subject } = row;
  const isSame =
    entry.atMs === at_ms && actorLabel(entry.actor) === actor && entry.action === action && entry.subject === subject;
  return isSame ? null : "a column beside its content was changed";
}

function readEntry(row: AuditRow): AuditEntry | null {
  try {
    const entry = toAuditEntry(row);
    return typeof entry.actor === "object" && entry.actor !== null ? entry : null;
  } catch {
    return null;
  }
}
