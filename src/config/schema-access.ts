import { z } from "zod";
import { dateFault, hostFault, PLACE_NAME, pathFault } from "../access/endpoint.ts";
import { policyTemplateSchema } from "../access/policy.ts";
import { readPrefix } from "../lib/cidr.ts";
import { tlsFiles } from "./schema-edge.ts";
import { keyTemplate } from "./schema-keys.ts";
import { addressRange, MAX_ENTRIES, path, secret } from "./schema-values.ts";

// `endpoints`, `access` and `gateway.trustedProxies`: who may come in, where, and whose word about it counts.

const name = z.string().regex(PLACE_NAME, {
  error: 'must be lower-case letters, digits, ".", "_" and "-", at most 64',
});

const words = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[^\p{Cc}]*$/u, { error: "must have no control characters" });

/** A string that a function finds nothing wrong with. */
function checked(fault: (text: string) => string | null) {
  return z.string().superRefine((text, context) => {
    const message = fault(text);
    if (message !== null) context.addIssue({ code: "custom", message });
  });
}

const endpoint = z.strictObject({
  host: checked(hostFault)
    .optional()
    .describe("Host name that callers use, without port. Left out: the gateway's own names."),
  path: checked(pathFault)
    .optional()
    .describe("Path prefix, like `/team-a`: its base URL is then `https://HOST/team-a/v1`."),
  tls: tlsFiles
    .optional()
    .describe("Certificate of its host. Left out: the public listener's. The files are read again when they change."),
  models: z
    .array(z.string().regex(/^[^\p{Cc}\s]{1,256}$/u, { error: "must be a name or a pattern without spaces" }))
    .max(MAX_ENTRIES)
    .optional()
    .describe("Public names or patterns (`*`) of the models that may be used there. Left out: all."),
  mayLeave: z
    .enum(["no", "yes"])
    .optional()
    .describe("Whether requests may leave your own machines, whatever their key says."),
  prefer: policyTemplateSchema.shape.prefer,
  fallback: policyTemplateSchema.shape.fallback,
  targets: policyTemplateSchema.shape.targets,
  owner: words.optional().describe("Who answers for it."),
  purpose: words.optional().describe("What it is there for."),
  reviewOn: checked(dateFault).optional().describe("Day on which somebody should look at it again, like `2027-01-31`."),
});

export const endpoints = z.record(name, endpoint);

const aboutRule = {
  endpoint: name.optional().describe("Only at this endpoint. Left out: everywhere."),
  label: words.optional().describe("What it is, for people."),
  purpose: words.optional().describe("What the address is there for."),
  owner: words.optional().describe("Who answers for it."),
  mayRotate: z.boolean().optional().describe("The address may change, so that somebody has to follow."),
  expiresOn: checked(dateFault)
    .optional()
    .describe("Day from whose beginning (UTC) it matches nothing. An allow rule still keeps others out then."),
};

const ONE_EFFECT = 'needs either "allow" or "deny"';

const rule = z
  .strictObject({
    allow: addressRange()
      .optional()
      .describe("Address or range that may come in. With one such rule all others get 403."),
    deny: addressRange().optional().describe("Address or range that may not, whatever allows it."),
    ...aboutRule,
  })
  .refine((one) => (one.allow === undefined) !== (one.deny === undefined), { error: ONE_EFFECT });

const ambient = z.strictObject({
  range: addressRange().describe("Address or range of clients that cannot send a key."),
  key: z.string().min(1).max(128).describe("Id or name of the key that it stands for."),
  ...aboutRule,
});

export const access = z.strictObject({
  rules: z.record(name, rule).optional().describe("Rules about addresses, by name. A deny wins over every allow."),
  ambient: z
    .record(name, ambient)
    .optional()
    .describe("Ranges that stand for a key where a request shows no credential, by name."),
  templates: z
    .record(name, keyTemplate)
    .optional()
    .describe("Policies that `postern keys create --template` starts from, by name."),
});

/** Names that stand for ranges. */
export const NAMED_RANGES = ["cloudflare", "loopback", "private"] as const;

const proxyRange = checked((text) => {
  if (NAMED_RANGES.some((one) => one === text)) return null;
  const { fault } = readPrefix(text);
  return fault === null ? null : `${fault}; or one of ${NAMED_RANGES.join(", ")}`;
}).meta({ "x-kind": "address range" });

const proxy = z.strictObject({
  from: z.union([proxyRange, z.array(proxyRange).min(1).max(MAX_ENTRIES)]).describe("Where it connects from."),
  header: z
    .enum(["x-forwarded-for", "cf-connecting-ip"])
    .optional()
    .describe(
      "The header that it writes itself. Left out: `cf-connecting-ip` for `cloudflare`, else `x-forwarded-for`.",
    ),
  secret: z
    .strictObject({
      header: z
        .string()
        .regex(/^[A-Za-z][A-Za-z0-9-]{0,63}$/, { error: "must be the name of a header" })
        .describe("Its name."),
      value: secret("What it must say"),
    })
    .optional()
    .describe("A header that it must send, so that nobody else at its address is taken for it."),
  access: z
    .strictObject({
      team: z
        .string()
        .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.cloudflareaccess\.com$/, {
          error: 'must be a team\'s name, like "example.cloudflareaccess.com"',
        })
        .describe("The team, like `example.cloudflareaccess.com`."),
      audience: z
        .string()
        .regex(/^[0-9a-f]{64}$/, { error: "must be the application's audience tag, 64 hex digits" })
        .describe("The application's audience tag."),
      keys: path("JSON file of the team's keys. Left out: fetched from the team's address").optional(),
    })
    .optional()
    .describe("Its requests must carry an assertion of Cloudflare Access for this application."),
});

export const trustedProxies = z.array(z.union([proxyRange, proxy])).max(MAX_ENTRIES);
