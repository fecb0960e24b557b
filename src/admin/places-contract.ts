import { z } from "zod";
import { dateFault, hostFault, PLACE_NAME, pathFault } from "../access/endpoint.ts";
import { policyTemplateSchema } from "../access/policy.ts";
import { readPrefix } from "../lib/cidr.ts";
import { canonicalAddress } from "../lib/ip-address.ts";

/** The part of the `/admin/v1` contract about endpoints and addresses. As contract.ts: inputs strict, answers tolerant. */
const MAX_MODELS = 256;
const LONGEST_TTL_MS = 10 * 365 * 24 * 3600 * 1000;

const name = z.string().regex(PLACE_NAME, "must be lower-case letters, digits, '.', '_' and '-', at most 64");
const words = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[^\p{Cc}]*$/u, "must have no control characters");
const timestamp = z.int().nonnegative();
const origin = z.enum(["store", "file"]);

/** A string that a function finds nothing wrong with. */
function checked(fault: (text: string) => string | null) {
  return z.string().superRefine((text, context) => {
    const message = fault(text);
    if (message !== null) context.addIssue({ code: "custom", message });
  });
}

const range = checked((text) => readPrefix(text).fault);
const address = checked((text) => (canonicalAddress(text) === null ? "must be one IP address" : null));
const models = z.array(z.string().regex(/^[^\p{Cc}\s]{1,256}$/u, "must be names without spaces")).max(MAX_MODELS);
const mayLeave = z.enum(["no", "yes"]);
const prefer = policyTemplateSchema.shape.prefer.unwrap();
const fallback = policyTemplateSchema.shape.fallback.unwrap();
const targets = policyTemplateSchema.shape.targets.unwrap();

const endpointFields = {
  host: checked(hostFault).nullable(),
  path: checked(pathFault).nullable(),
  models: models.nullable(),
  mayLeave,
  prefer,
  fallback,
  targets: targets.nullable(),
  owner: words.nullable(),
  purpose: words.nullable(),
  reviewOn: checked(dateFault).nullable(),
};

export const createEndpointInput = z.strictObject({
  name,
  host: endpointFields.host.default(null),
  path: endpointFields.path.default(null),
  models: endpointFields.models.default(null),
  mayLeave: mayLeave.default("yes"),
  prefer: prefer.default("none"),
  fallback: fallback.default("automatic"),
  targets: endpointFields.targets.default(null),
  owner: endpointFields.owner.default(null),
  purpose: endpointFields.purpose.default(null),
  reviewOn: endpointFields.reviewOn.default(null),
});
export type CreateEndpointInput = z.infer<typeof createEndpointInput>;

/** What is left out stays as it is. */
export const updateEndpointInput = z.strictObject(endpointFields).partial();
export type UpdateEndpointInput = z.infer<typeof updateEndpointInput>;

export const endpointView = z.object({
  name: z.string(),
  origin,
  /** File and line, for `file`. */
  place: z.string().nullable(),
  host: z.string().nullable(),
  path: z.string().nullable(),
  models: z.array(z.string()).nullable(),
  mayLeave,
  prefer,
  fallback,
  targets: targets.nullable(),
  owner: z.string().nullable(),
  purpose: z.string().nullable(),
  reviewOn: z.string().nullable(),
  isReviewDue: z.boolean(),
  /** Keys that work now and belong to it. */
  keys: z.int(),
  /** Rules about it, those about all endpoints left out. */
  rules: z.int(),
  /** Whether only listed addresses come in, by its rules or those about all. */
  isClosed: z.boolean(),
  /** What it exposes, in sentences made from what is set. */
  exposure: z.object({
    reach: z.string(),
    /** What somebody gets who has broken into a consumer of it. */
    brokenConsumer: z.string(),
    /** What happens when an address moves on to somebody else. */
    rotation: z.string(),
  }),
  createdAtMs: timestamp.nullable(),
});
export type EndpointView = z.infer<typeof endpointView>;

export const endpointList = z.object({ endpoints: z.array(endpointView) });

export const removedEndpoint = z.object({ name: z.string(), rulesRemoved: z.int(), streamsEnded: z.int() });
export type RemovedEndpoint = z.infer<typeof removedEndpoint>;

const effect = z.enum(["allow", "deny", "ambient"]);

export const createRuleInput = z.strictObject({
  /** Null: made from what the rule says. */
  name: name.nullable().default(null),
  effect,
  range,
  /** Null: every endpoint. */
  endpoint: name.nullable().default(null),
  /** Id or name; only, and always, with `ambient`. */
  key: z.string().min(1).max(128).nullable().default(null),
  label: words.nullable().default(null),
  purpose: words.nullable().default(null),
  owner: words.nullable().default(null),
  mayRotate: z.boolean().default(false),
  expiresInMs: z.int().min(1000).max(LONGEST_TTL_MS).nullable().default(null),
});
export type CreateRuleInput = z.infer<typeof createRuleInput>;

export const ruleView = z.object({
  name: z.string(),
  origin,
  place: z.string().nullable(),
  effect,
  range: z.string(),
  endpoint: z.string().nullable(),
  key: z.string().nullable(),
  label: z.string().nullable(),
  purpose: z.string().nullable(),
  owner: z.string().nullable(),
  mayRotate: z.boolean(),
  state: z.enum(["active", "expired"]),
  createdAtMs: timestamp.nullable(),
  expiresAtMs: timestamp.nullable(),
});
export type RuleView = z.infer<typeof ruleView>;

export const ruleList = z.object({ rules: z.array(ruleView) });

/** A rule that was made or removed, and what that did. */
export const changedRule = z.object({
  rule: ruleView,
  /** What will surprise, with the next step. */
  warnings: z.array(z.string()),
  /** Requests that ran and were ended by it. Zero where no gateway runs. */
  streamsEnded: z.int(),
});
export type ChangedRule = z.infer<typeof changedRule>;

export const testAddressInput = z.strictObject({
  address,
  endpoint: name.default("default"),
  /** Id or name of a key that would be sent; null: none. */
  key: z.string().min(1).max(128).nullable().default(null),
});
export type TestAddressInput = z.infer<typeof testAddressInput>;

export const addressTest = z.object({
  address: z.string(),
  endpoint: z.string(),
  /** Whether a request would get past its address and, where a key was named, past that key. */
  isAllowed: z.boolean(),
  /** Code that it would be refused with. */
  errorCode: z.string().nullable(),
  /** The rule that decided; null where it was the absence of one. */
  rule: ruleView.nullable(),
  isClosed: z.boolean(),
  /** The key that the address stands for where the request shows no credential. */
  ambient: z.object({ rule: z.string(), key: z.string().nullable(), failure: z.string().nullable() }).nullable(),
  /** The decision step by step, for people. */
  words: z.array(z.string()),
});
export type AddressTest = z.infer<typeof addressTest>;
