import { z } from "zod";

/**
 * The `/admin/v1` contract: every input and answer once, as schemas. Routes check with them, the CLI reads with them.
 *
 * Inputs are strict (an unknown field is an error). Answers are read tolerantly, so that a newer gateway may add fields.
 * Times are UTC milliseconds, durations milliseconds, money micro-dollars.
 */
export const ADMIN_PREFIX = "/admin/v1";

const LONGEST_TTL_MS = 10 * 365 * 24 * 3600 * 1000;

export const timestamp = z.int().nonnegative();
export const configName = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/, "lower-case letters, digits, '.', '_' and '-', at most 64");
export const label = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[^\p{Cc}]*$/u, "no control characters");
export const ttl = z.int().min(1000).max(LONGEST_TTL_MS);

/** Says that a required model may be left with nobody who serves it. */
export const force = z.boolean().default(false);

export const forceInput = z.strictObject({ force });
/** The same in a query. */
export const forceQuery = z.strictObject({ force: z.stringbool().default(false) });

export const backupInput = z.strictObject({
  /** Absolute path on the gateway's machine; must not exist. */
  path: z.string().min(1).max(4096),
});

export const backupResult = z.object({ path: z.string(), bytes: z.int() });
export type BackupResult = z.infer<typeof backupResult>;

/** Body of every answer that is not 2xx. */
export const adminError = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    hint: z.string().nullable(),
    faults: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  }),
});
export type AdminErrorBody = z.infer<typeof adminError>;
