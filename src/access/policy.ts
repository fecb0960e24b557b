import { z } from "zod";
import { OPERATIONS } from "../dialects/operations.ts";
import { readPrefix } from "../lib/cidr.ts";

/** Version of the policy document that this program writes. It refuses others: a word that is not known must not be passed over. */
export const POLICY_VERSION = 1;

/** Most entries of one list in a policy. */
const MAX_LIST = 256;
/** Largest number in a limit or budget. Sums of them stay exact. */
const MAX_AMOUNT = 1_000_000_000_000;
/** Largest rate; the windows count in 32 bits. */
const MAX_RATE = 1_000_000_000;

/** Longest that prompts and answers may be kept: 90 days. */
const MAX_CAPTURE_HOURS = 90 * 24;

const SPACELESS = /^[^\p{Cc}\s]+$/u;
const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;

const listOf = <T extends z.ZodType>(one: T) => z.array(one).max(MAX_LIST);
const glob = z.string().min(1).max(256).regex(SPACELESS, "must have no spaces or control characters");
const name = z.string().regex(NAME, "must be lower-case letters, digits, '.', '_' and '-', at most 64");
const timeMs = z.int().nonnegative();

const dialect = z.enum([
  "openai-chat",
  "openai-completions",
  "openai-embeddings",
  "openai-responses",
  "openai-rerank",
  "openai-transcriptions",
  "anthropic-messages",
  "ollama-chat",
  "ollama-generate",
  "ollama-embed",
]);

const operation = z.enum(OPERATIONS.filter(({ kind }) => kind !== "hello").map(({ id }) => id));

const prefix = z
  .string()
  .max(64)
  .superRefine((text, context) => {
    const { fault } = readPrefix(text);
    if (fault !== null) context.addIssue({ code: "custom", message: fault });
  });

const edges = z
  .strictObject({
    soft: z.int().min(1).max(MAX_AMOUNT).optional().describe("Reported from here on; nothing is refused."),
    hard: z.int().min(0).max(MAX_AMOUNT).optional().describe("Refused from here on."),
  })
  .refine(({ soft, hard }) => soft !== undefined || hard !== undefined, { error: "needs `soft` or `hard`" })
  .refine(({ soft, hard }) => soft === undefined || hard === undefined || soft <= hard, {
    error: "must have `soft` at or below `hard`",
  });

/**
 * Everything that a policy may say about a key, but for its times. Each word that is left out restricts nothing, with three
 * exceptions: `endpoints` is the default one, and `mayPin` and `capture` are no. An empty list allows nothing.
 */
const words = {
  endpoints: listOf(name).optional().describe("Endpoints that take it. Left out: the one called `default`."),
  models: listOf(glob).optional().describe("Public names or globs (`*`) of models."),
  dialects: listOf(dialect).optional().describe("Wire formats that it may speak."),
  operations: listOf(operation).optional().describe("Operations that it may use."),
  mayLeave: z.enum(["no", "yes"]).optional().describe("Whether a request may leave your own machines."),
  prefer: z.enum(["local", "cloud", "none"]).optional().describe("Which targets are tried first."),
  fallback: z
    .enum(["automatic", "approval", "never"])
    .optional()
    .describe("Whether the side that is not preferred may answer. `approval`: once an operator approves."),
  targets: z
    .strictObject({
      nodes: listOf(glob).optional().describe("Nodes, by name or glob."),
      tags: listOf(name).optional().describe("Nodes that have one of these tags."),
      providers: listOf(glob).optional().describe("Providers, by name or glob."),
    })
    .optional()
    .describe("Only these targets."),
  workflow: name.optional().describe("Label that groups keys in reports."),
  addresses: listOf(prefix).optional().describe("Callers' addresses: single ones or CIDR ranges, IPv4 and IPv6."),
  clientCertificates: listOf(
    z.string().regex(/^[0-9a-f]{64}$/, "must be the SHA-256 of a public key, 64 hex digits in lower case"),
  )
    .optional()
    .describe("SHA-256 of the public keys of client certificates; callers must show one of them, besides the key."),
  requestsPerMinute: z.int().min(0).max(MAX_RATE).optional().describe("Requests in any minute."),
  tokensPerMinute: z.int().min(0).max(MAX_RATE).optional().describe("Tokens in any minute, input and output together."),
  concurrency: z.int().min(0).max(1_000_000).optional().describe("Requests that run at one time."),
  budgets: z
    .strictObject({
      tokensPerDay: edges.optional().describe("Tokens, input and output together."),
      tokensPerMonth: edges.optional().describe("The same per month."),
      costMicrosPerDay: edges.optional().describe("Micro-dollars."),
      costMicrosPerMonth: edges.optional().describe("The same per month."),
    })
    .optional()
    .describe("Per day and calendar month of UTC; money in micro-dollars, by `prices`."),
  capture: z
    .strictObject({
      requests: z.boolean().optional().describe("Keep what callers send."),
      answers: z.boolean().optional().describe("Keep what they get."),
      retentionHours: z.int().min(1).max(MAX_CAPTURE_HOURS).describe("Hours after which it is deleted."),
    })
    .refine(({ requests, answers }) => requests === true || answers === true, {
      error: "needs `requests` or `answers`",
    })
    .optional()
    .describe("Prompts and answers are kept, where `storage.capture` allows it. Left out: never."),
  mayPin: z.boolean().optional().describe("Whether `X-Postern-Node` is obeyed."),
  shadow: z.boolean().optional().describe("Rates, concurrency and budgets are reported, never refused."),
} as const;

/** The policy of a key: a strict, versioned document. */
export const keyPolicySchema = z
  .strictObject({
    version: z.literal(POLICY_VERSION).default(POLICY_VERSION),
    ...words,
    notBeforeMs: timeMs.optional().describe("UTC milliseconds before which it opens nothing."),
    expiresAtMs: timeMs.optional().describe("UTC milliseconds from which it opens nothing."),
  })
  .refine(({ notBeforeMs, expiresAtMs }) => (notBeforeMs ?? 0) < (expiresAtMs ?? Number.POSITIVE_INFINITY), {
    error: "must be after `notBeforeMs`",
    path: ["expiresAtMs"],
  });

/** What a template may say: a policy without points in time. */
export const policyTemplateSchema = z.strictObject(words);

export type KeyPolicy = z.output<typeof keyPolicySchema>;
export type PolicyTemplate = z.output<typeof policyTemplateSchema>;
export type BudgetName = keyof NonNullable<KeyPolicy["budgets"]>;

/** A rule that a policy breaks, and where. */
export interface PolicyFault {
  /** Like `budgets.tokensPerDay` or `models[0]`; empty for the whole. */
  path: string;
  message: string;
}

/** Either the policy, or every fault of it. */
export type PolicyReading = { policy: KeyPolicy; faults: null } | { policy: null; faults: PolicyFault[] };

/** Reads a policy that somebody wrote. All faults are reported together. Does not throw. */
export function readPolicy(value: unknown): PolicyReading {
  const result = keyPolicySchema.safeParse(value);
  if (result.success) return { policy: result.data, faults: null };
  const faults = result.error.issues.map(({ path, message }) => ({ path: z.core.toDotPath(path), message }));
  return { policy: null, faults };
}

/** The text under which a policy is stored. Words in one order, so that equal policies have equal texts. */
export function writePolicy(policy: KeyPolicy): string {
  return JSON.stringify(keyPolicySchema.parse(policy));
}

/** A policy of before it was written down as a document; null where the text is not one, which must then allow nothing. */
export function parsePolicy(text: string): KeyPolicy | null {
  try {
    return readPolicy(JSON.parse(text)).policy;
  } catch {
    return null;
  }
}
