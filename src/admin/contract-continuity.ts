import { z } from "zod";
import { CAUSES } from "../continuity/contingency-state.ts";
import { configName, label, timestamp } from "./contract.ts";

/** A scope that is not normal. */
export const contingencyScope = z.object({
  /** Null: everything. */
  workflow: z.string().nullable(),
  /** `returning`: a growing share of requests may use providers again. */
  state: z.enum(["contingency", "returning"]),
  causes: z.array(
    z.object({
      cause: z.enum(CAUSES),
      reason: z.string(),
      by: z.string(),
      sinceMs: timestamp,
      /** Null: until somebody ends it. */
      expiresAtMs: timestamp.nullable(),
    }),
  ),
  /** Part of the requests that may use providers, 0 to 1. */
  share: z.number(),
  /** When all of them may again; null while in contingency. */
  normalAtMs: timestamp.nullable(),
});

/** The part of the contract about what happens when providers or nodes are away. */

const LONGEST_ORDER_MS = 365 * 24 * 3600 * 1000;

export type ContingencyScopeView = z.infer<typeof contingencyScope>;

/** Whatever is not named is normal. */
export const contingencyView = z.object({ scopes: z.array(contingencyScope) });
export type ContingencyView = z.infer<typeof contingencyView>;

export const contingencyOnInput = z.strictObject({
  /** Null: everything. */
  workflow: configName.nullable().default(null),
  reason: label,
  /** Null: until somebody ends it. */
  forMs: z.int().min(1000).max(LONGEST_ORDER_MS).nullable().default(null),
});
export type ContingencyOnInput = z.infer<typeof contingencyOnInput>;

export const contingencyOffInput = z.strictObject({
  workflow: configName.nullable().default(null),
  /** All requests may use providers at once, instead of a growing share. */
  isAtOnce: z.boolean().default(false),
});
export type ContingencyOffInput = z.infer<typeof contingencyOffInput>;

export const contingencyOff = contingencyView.extend({
  /** False: nothing was on in that scope. */
  wasOn: z.boolean(),
});
export type ContingencyOff = z.infer<typeof contingencyOff>;

const waitingApproval = z.object({
  /** Of the request; its X-Request-Id. */
  id: z.string(),
  /** What an approval for a time would cover: a workflow, or `key:ID`. */
  scope: z.string(),
  keyId: z.string(),
  model: z.string(),
  /** Where it would go. */
  to: z.enum(["local", "cloud"]),
  sinceMs: timestamp,
  /** When it is refused. */
  untilMs: timestamp,
});

const approvalGrant = z.object({ scope: z.string(), by: z.string(), sinceMs: timestamp, untilMs: timestamp });

export const approvalsView = z.object({ waiting: z.array(waitingApproval), grants: z.array(approvalGrant) });
export type ApprovalsView = z.infer<typeof approvalsView>;

/** The longest that an approval stands: it must not become the policy. */
const LONGEST_GRANT_MS = 7 * 24 * 3600 * 1000;
const grantMs = z.int().min(1000).max(LONGEST_GRANT_MS);

export const approveInput = z.strictObject({
  /** Also everything of its workflow, or of its key, for so long. */
  forMs: grantMs.nullable().default(null),
});

export const grantApprovalInput = z.strictObject({
  /** A workflow, or `key:ID`. */
  scope: z
    .string()
    .max(128)
    .regex(/^(key:)?[A-Za-z0-9._-]+$/, "a workflow, or key:ID"),
  forMs: grantMs,
});
export type GrantApprovalInput = z.infer<typeof grantApprovalInput>;

const lossView = z.object({
  /** `node/NAME`, `provider/NAME`, `every link`, `every provider`, `the gateway`. */
  what: z.string(),
  /** Who could serve then. */
  left: z.array(z.string()),
  served: z.int(),
  waiting: z.int(),
  refused: z.int(),
});

export const continuityReview = z.object({
  models: z.array(
    z.object({
      model: z.string(),
      targets: z.array(z.object({ label: z.string(), isReady: z.boolean() })),
      /** Keys that may use it, and that somebody serves now. */
      keys: z.int(),
      losses: z.array(lossView),
      singlePoints: z.array(z.string()),
    }),
  ),
});
export type ContinuityReview = z.infer<typeof continuityReview>;
