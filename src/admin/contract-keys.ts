import { z } from "zod";
import { keyPolicySchema, POLICY_VERSION } from "../access/policy.ts";
import { configName, label, timestamp, ttl } from "./contract.ts";

/** What a key used in the running UTC day and month; known to a running gateway alone. */
const keySpending = z.object({
  tokensToday: z.int(),
  tokensThisMonth: z.int(),
  costMicrosToday: z.int(),
  costMicrosThisMonth: z.int(),
});

export const keyView = z.object({
  id: z.string(),
  name: z.string(),
  /** Read as it comes: a newer gateway may know more words. Null where the store is damaged; then it allows nothing. */
  policy: z.record(z.string(), z.unknown()).nullable(),
  createdAtMs: timestamp,
  /** End of the grace of the secret before the last rotation. */
  previousUntilMs: timestamp.nullable(),
  disabledAtMs: timestamp.nullable(),
  revokedAtMs: timestamp.nullable(),
  /** `early`: not yet, by its `notBeforeMs`. */
  state: z.enum(["active", "early", "expired", "disabled", "revoked"]),
  spending: keySpending.nullable(),
});
export type KeyView = z.infer<typeof keyView>;

export const createKeyInput = z.strictObject({
  name: label,
  /** Of `access.templates` in the configuration; what `policy` says counts before it. */
  template: configName.nullable().default(null),
  policy: keyPolicySchema.default({ version: POLICY_VERSION }),
  /** Sets `expiresAtMs` of the policy. */
  expiresInMs: ttl.nullable().default(null),
});
export type CreateKeyInput = z.infer<typeof createKeyInput>;

export const updateKeyInput = z.strictObject({
  name: label.optional(),
  /** Takes the place of the whole policy. */
  policy: keyPolicySchema.optional(),
});
export type UpdateKeyInput = z.infer<typeof updateKeyInput>;

/** Longest grace of an old secret. */
const LONGEST_GRACE_MS = 90 * 24 * 3600 * 1000;

export const rotateKeyInput = z.strictObject({
  /** How long the old secret stays good; 0 ends it, and what it opened, at once. */
  graceMs: z
    .int()
    .min(0)
    .max(LONGEST_GRACE_MS)
    .default(24 * 3600 * 1000),
});
export type RotateKeyInput = z.infer<typeof rotateKeyInput>;

/** The only answer that ever holds a key's secret. */
export const createdKey = z.object({ key: keyView, secret: z.string() });
export type CreatedKey = z.infer<typeof createdKey>;

export const keyList = z.object({ keys: z.array(keyView) });
