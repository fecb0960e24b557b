import { z } from "zod";
import { timestamp } from "./contract.ts";
import { requestView } from "./contract-usage.ts";

/** The part of the contract about what was written down, and what is set: requests, audit, health, settings. */

/** Most entries of one page. */
const MAX_PAGE = 200;
const pageSize = z.coerce.number().int().min(1).max(MAX_PAGE).default(50);
const moment = z.coerce.number().int().nonnegative().optional();
const filter = z.string().min(1).max(256).optional();

export const health = z.object({
  ready: z.boolean(),
  /** Why it is not; empty when it is. */
  reasons: z.array(z.string()),
  storeTrouble: z.string().nullable(),
  ledgerTrouble: z.string().nullable(),
});
export type Health = z.infer<typeof health>;

/** What the configuration comes to, defaults included. Secrets are left out. */
export const settings = z.object({
  /** Null: no file, everything is default. */
  file: z.string().nullable(),
  dataFolder: z.string(),
  gateway: z.record(z.string(), z.unknown()),
  storage: z.record(z.string(), z.unknown()),
  /** Names of what the file defines, which is read-only here. */
  defined: z.object({ nodes: z.array(z.string()), models: z.array(z.string()) }),
});
export type Settings = z.infer<typeof settings>;

/** As it arrives in a query string. */
export const requestQuery = z.strictObject({
  /** Public id of a key. */
  key: filter,
  model: filter,
  workflow: filter,
  /** Only requests that ran under contingency: its log. */
  contingency: z.literal("only").optional(),
  outcome: z.enum(["ok", "aborted", "failed", "stopped", "interrupted"]).optional(),
  /** Requests that arrived from then on. */
  sinceMs: moment,
  untilMs: moment,
  /** `next` of the page before. */
  before: z.uuid().optional(),
  limit: pageSize,
});
export type RequestQuery = z.infer<typeof requestQuery>;

export const requestPage = z.object({
  /** Without their attempts; `/requests/{id}` has those. */
  requests: z.array(requestView.omit({ attempts: true })),
  /** Where the next page begins; null: there is no more. A page may be short, or empty, and still have a next one. */
  next: z.string().nullable(),
});
export type RequestPage = z.infer<typeof requestPage>;

const auditEntry = z.object({
  seq: z.int(),
  atMs: timestamp,
  actor: z.object({
    kind: z.string(),
    id: z.string().nullable(),
    name: z.string(),
    address: z.string().nullable(),
  }),
  action: z.string(),
  subject: z.string(),
  before: z.unknown(),
  after: z.unknown(),
  previous: z.string(),
  hash: z.string(),
});
export type AuditEntryView = z.infer<typeof auditEntry>;

/** As it arrives in a query string. */
export const auditQuery = z.strictObject({
  /** `token 1a2b3c4d5e6f`: kind, and id or name. */
  actor: filter,
  action: filter,
  sinceMs: moment,
  /** `next` of the page before. */
  before: z.coerce.number().int().positive().optional(),
  limit: pageSize,
});
export type AuditListQuery = z.infer<typeof auditQuery>;

export const auditPage = z.object({
  /** Newest first. */
  entries: z.array(auditEntry),
  next: z.int().nullable(),
});
export type AuditPage = z.infer<typeof auditPage>;

const HEAD_FORM = /^(\d{1,15}):([0-9a-f]{64})$/;
const head = z.object({ seq: z.int(), hash: z.string() });
export type AuditAnchor = z.infer<typeof head>;

export const verifyQuery = z.strictObject({
  /** `SEQ:HASH` of an earlier answer, kept elsewhere. */
  anchor: z.string().regex(HEAD_FORM, "must be SEQ:HASH, as an earlier verification printed it").optional(),
});

/** The anchor of a query; null when there is none. */
export function readAnchor(text: string | undefined): AuditAnchor | null {
  const [, seq, hash = ""] = HEAD_FORM.exec(text ?? "") ?? [];
  return seq === undefined ? null : { seq: Number(seq), hash };
}

export const auditVerdict = z.object({
  /** Entries that are as they were written. */
  entries: z.int(),
  /** Older entries that retention has deleted. */
  deleted: z.int(),
  head,
  /** The first entry that is not, and how it shows; null when all are. */
  fault: z.object({ seq: z.int(), reason: z.string() }).nullable(),
});
export type AuditVerdictView = z.infer<typeof auditVerdict>;
