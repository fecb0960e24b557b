import { z } from "zod";
import { definitionOf, RULE_NAMES, type RuleName, SEVERITIES } from "../continuity/alerts/rules.ts";
import { thresholdField } from "./alerts.ts";
import { count, DAY_MS, duration, path, secret } from "./schema-values.ts";

const severity = z.enum(SEVERITIES);
const second = { minMs: 1000, min: "1s" };

/** An address that is a secret: a webhook's URL opens it. */
function secretUrl(what: string) {
  return z
    .string()
    .regex(/^(?:env:[A-Za-z_][A-Za-z0-9_]*|file:.+|https?:\/\/[^\s]+)$/, {
      error: "must be env:NAME or file:PATH, or the address itself (https://…)",
    })
    .meta({ "x-kind": "secret or url" })
    .describe(`${what}: \`env:NAME\` or \`file:PATH\`, or the address itself where it is no secret.`);
}

function thresholdOf(unit: "duration" | "share" | "count") {
  if (unit === "duration") return duration({ minMs: 1, min: "1ms", maxMs: 365 * DAY_MS, max: "365d" });
  return unit === "share" ? z.number().gt(0).max(1) : count(1, 1_000_000);
}

const anyRule = {
  enabled: z.boolean().optional().describe("Off: it is not judged."),
  severity: severity.optional().describe("How urgent its alerts are."),
  for: duration({}).optional().describe("How long its condition must hold before it fires."),
  resolveAfter: duration({}).optional().describe("How long its condition must be gone before it resolves."),
};

/** One rule: only the fields that mean something for it. */
function ruleSchema(name: RuleName) {
  const { threshold, windowMs, meaning } = definitionOf(name);
  const shape: Record<string, z.ZodType> = { ...anyRule };
  if (threshold !== null) {
    shape[thresholdField(name)] = thresholdOf(threshold.unit).optional().describe("Its threshold.");
  }
  if (windowMs !== null) {
    shape["window"] = duration({ minMs: 30_000, min: "30s", maxMs: DAY_MS, max: "1d" })
      .optional()
      .describe("Over how much time it counts.");
  }
  if (definitionOf(name).minRequests !== null) {
    shape["minRequests"] = count(1, 1_000_000).optional().describe("Fewest requests in it from which it concludes.");
  }
  return z.strictObject(shape).optional().describe(meaning);
}

/** What a rule may say; which of it is allowed is each rule's own schema. */
export interface RawAlertRule {
  enabled?: boolean;
  severity?: (typeof SEVERITIES)[number];
  for?: number;
  resolveAfter?: number;
  above?: number;
  within?: number;
  window?: number;
  minRequests?: number;
}

const rules = z.strictObject(Object.fromEntries(RULE_NAMES.map((name) => [name, ruleSchema(name)])));

const channelName = z.string().regex(/^[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?$/, {
  error: 'must be lower-case letters, digits, "_" and "-", at most 64',
});

const anyChannel = {
  severity: severity.optional().describe("Least severity that it is told."),
  rules: z
    .array(z.enum(RULE_NAMES as [RuleName, ...RuleName[]]))
    .min(1)
    .max(RULE_NAMES.length)
    .optional()
    .describe("Only these rules. Left out: all."),
  ca: path("PEM file of the authority behind the receiver's certificate").optional(),
  acceptPlaintext: z
    .boolean()
    .optional()
    .describe(
      "You know that messages and secrets cross a network in clear. Not needed for this machine and private addresses.",
    ),
};

const mailAddress = z
  .string()
  .max(320)
  .regex(/^[^\s@<>,;:"()\p{Cc}]+@[^\s@<>,;:"()\p{Cc}]+$/u, { error: "must be a mail address, like ops@example.org" });

const channel = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("webhook").describe("JSON in the form of Alertmanager's webhook, signed."),
    url: secretUrl("Where it is posted"),
    secret: secret("Key of the signature (HMAC-SHA256, Standard Webhooks); `whsec_…` or any text").optional(),
    ...anyChannel,
  }),
  z.strictObject({
    type: z.literal("slack").describe("A Slack incoming webhook, or a server that takes the same."),
    url: secretUrl("The incoming webhook"),
    ...anyChannel,
  }),
  z.strictObject({
    type: z.literal("ntfy").describe("A topic of an ntfy server."),
    url: secretUrl("The server").optional(),
    topic: secret("The topic; whoever knows it reads along"),
    token: secret("Access token (`tk_…`)").optional(),
    ...anyChannel,
  }),
  z.strictObject({
    type: z.literal("smtp").describe("Mail."),
    host: z
      .string()
      .regex(/^[A-Za-z0-9.:-]{1,253}$/, { error: "must be a host name or an address" })
      .describe("The mail server."),
    port: count(1, 65_535).optional().describe("Its port. Left out: 587, with `tls: tls` 465, with `tls: none` 25."),
    tls: z.enum(["starttls", "tls", "none"]).optional().describe("`starttls` insists on it; `none` is in clear."),
    user: z.string().min(1).max(320).optional().describe("Who logs in. Left out: nobody does."),
    password: secret("The password").optional(),
    from: mailAddress.describe("Sender."),
    to: z.array(mailAddress).min(1).max(50).describe("Recipients."),
    ...anyChannel,
  }),
  z.strictObject({
    type: z.literal("alertmanager").describe("Alertmanager, which groups, routes and repeats by itself (API v2)."),
    url: secretUrl("Its address, without `/api/v2/alerts`"),
    token: secret("Bearer token of a proxy before it").optional(),
    ...anyChannel,
  }),
]);

/** `alerts`. */
export const alerts = z.strictObject({
  rules: rules.optional().describe("Changes to the rules; each is on as it ships."),
  channels: z
    .record(channelName, channel)
    .refine((all) => Object.keys(all).length <= 20, { error: "must have at most 20 entries" })
    .optional()
    .describe("Who is told, by name. Left out: nobody; `postern alerts list` shows what there is."),
  groupWait: duration({ maxMs: 600_000, max: "10m" })
    .optional()
    .describe("From a rule's first alert to the message, so that what fires together is told together."),
  groupInterval: duration(second).optional().describe("Least time between two messages about one rule."),
  repeat: duration({ minMs: 60_000, min: "1m" })
    .optional()
    .describe("After which what still fires, and nobody acknowledged, is told again."),
  heartbeat: z
    .strictObject({
      url: secretUrl("Where it is posted"),
      every: duration({ minMs: 10_000, min: "10s", maxMs: DAY_MS, max: "1d" }).optional().describe("How often."),
    })
    .optional()
    .describe("A sign of life while the gateway is ready, for a service that raises the alarm when it stops."),
  history: duration({ minMs: DAY_MS, min: "1d", maxMs: 3650 * DAY_MS, max: "3650d" })
    .optional()
    .describe("How long alerts are kept after they resolved."),
});
