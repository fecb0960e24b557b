import { z } from "zod";
import { configName, count, duration, engineUrl, MAX_ENTRIES, modelName, path, secret } from "./schema-values.ts";

/** What a provider can be asked natively. Everything else is translated into one of these, where that is possible. */
const PROVIDER_OPERATIONS = [
  "openai.chat",
  "openai.completions",
  "openai.embeddings",
  "openai.responses",
  "openai.rerank",
  "openai.transcriptions",
  "anthropic.messages",
  "anthropic.count_tokens",
] as const;

/** Headers that are the gateway's own affair: framing, keys, addresses, what the body is. */
const OWN_HEADER =
  /^(?:host|authorization|api-key|x-api-key|proxy-.*|content-.*|accept(?:-.*)?|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect|cookie|origin|referer|user-agent|via|forwarded|x-forwarded-.*|anthropic-version|anthropic-beta)$/i;

/** Most dollars that a cap may be. */
const MAX_DOLLARS = 1_000_000;

const operations = z.array(z.enum(PROVIDER_OPERATIONS)).min(1).max(PROVIDER_OPERATIONS.length);

const namedModel = z.strictObject({
  model: modelName.describe("The provider's own name; with `azure`, the deployment."),
  operations: operations
    .optional()
    .describe("What this model can be asked. Left out: what the provider can; only embeddings where the name says so."),
  contextLength: count(256, 100_000_000)
    .optional()
    .describe("Tokens that it takes, prompt and answer together. Left out: unknown."),
});

const models = z.union([
  z.literal("all"),
  z.array(modelName).min(1).max(MAX_ENTRIES),
  z
    .record(modelName, z.union([modelName, namedModel]))
    .refine((named) => Object.keys(named).length <= MAX_ENTRIES, { error: `must have at most ${MAX_ENTRIES} entries` }),
]);

const headerValue = z
  .string()
  .max(1024)
  .regex(/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/, { error: "must be visible ASCII characters" });

const headers = z
  .record(
    z
      .string()
      .regex(/^[A-Za-z][A-Za-z0-9-]{0,63}$/, { error: "must be the name of a header" })
      .refine((name) => !OWN_HEADER.test(name), { error: "is set by the gateway itself" }),
    headerValue,
  )
  .refine((named) => Object.keys(named).length <= 16, { error: "must have at most 16 entries" });

const dollars = z.number().min(0).max(MAX_DOLLARS);
const cap = z
  .strictObject({
    hard: dollars.optional().describe("Dollars after which nothing goes there any more until the period ends."),
    soft: dollars.optional().describe("Dollars after which it is said in `postern status` and in the metrics."),
  })
  .refine(({ hard, soft }) => hard !== undefined || soft !== undefined, { error: "needs `hard` or `soft`" })
  .refine(({ hard, soft }) => hard === undefined || soft === undefined || soft <= hard, {
    error: "must not be above `hard`",
    path: ["soft"],
  });

const provider = z
  .strictObject({
    dialect: z
      .enum(["openai", "anthropic"])
      .describe("What it speaks. Nearly everybody but Anthropic offers `openai`."),
    baseUrl: engineUrl()
      .optional()
      .describe(
        "Its address as an SDK wants it, like `https://openrouter.ai/api/v1`. Left out: OpenAI's or Anthropic's own.",
      ),
    apiKey: secret("The key for it").optional(),
    keyHeader: z
      .enum(["authorization", "api-key", "x-api-key"])
      .optional()
      .describe(
        "The header that the key goes in. Left out: `authorization` (Bearer), `x-api-key` for Anthropic, `api-key` with `azure`.",
      ),
    organization: headerValue.optional().describe("OpenAI's organization that pays (`OpenAI-Organization`)."),
    project: headerValue.optional().describe("OpenAI's project (`OpenAI-Project`)."),
    headers: headers
      .optional()
      .describe("Further headers for it. A value may be `env:NAME` or `file:PATH`, where it is a secret."),
    azure: z
      .strictObject({
        apiVersion: z
          .string()
          .regex(/^\d{4}-\d{2}-\d{2}(?:-preview)?$/, { error: 'must be a version like "2024-10-21"' })
          .describe("The `api-version` of each request, like `2024-10-21`."),
      })
      .optional()
      .describe(
        "Azure's older shape, a path for each deployment: `baseUrl` is the resource's origin, models are deployments. Not needed for `…/openai/v1`.",
      ),
    models: models
      .optional()
      .describe(
        "What callers may ask for: a list of its names, a map from public names to its names, or `all` (its own list, read again every 10 minutes). Left out: only what `models.*.targets` names.",
      ),
    operations: operations
      .optional()
      .describe("What it can be asked natively. Left out: by dialect and host, see the guide."),
    betas: z
      .array(z.string().regex(/^[a-z0-9-]{1,64}\*?$/, { error: "must be the name of a beta; a `*` may end it" }))
      .max(MAX_ENTRIES)
      .optional()
      .describe("Names in a caller's `anthropic-beta` that are passed on besides those that are known to be harmless."),
    timeouts: z
      .strictObject({
        connect: duration({}).optional().describe("To a connection. Left out: `gateway.timeouts.connect`."),
        firstToken: duration({})
          .optional()
          .describe("To a stream's first token. Left out: `gateway.timeouts.firstTokenProvider`."),
        betweenTokens: duration({})
          .optional()
          .describe("Between two tokens of a stream. Left out: `gateway.timeouts.betweenTokensProvider`."),
        whole: duration({}).optional().describe("For an answer that is not streamed, to its end. Default `5m`."),
      })
      .optional()
      .describe("Times after which an attempt there is given up."),
    spend: z
      .strictObject({
        day: cap.optional().describe("For each day (UTC)."),
        month: cap.optional().describe("For each month (UTC)."),
      })
      .optional()
      .describe(
        "What it may cost, in dollars, by `prices`. A model without a price is not asked where there is a cap.",
      ),
    ca: path("PEM file of the authority that signed its certificate").optional(),
    serverName: z.string().min(1).max(253).optional().describe("Name that its certificate must carry."),
  })
  .refine((one) => one.dialect === "openai" || one.azure === undefined, {
    error: 'goes with the dialect "openai"',
    path: ["azure"],
  })
  .refine((one) => one.azure === undefined || one.baseUrl !== undefined, {
    error: "is missing: Azure has an address for each resource",
    path: ["baseUrl"],
  })
  .refine((one) => one.azure === undefined || one.models !== "all", {
    error: "cannot be read there: name the deployments",
    path: ["models"],
  });

/** `providers`. */
export const providers = z
  .record(configName, provider)
  .describe("Clouds that may answer beside or instead of your own machines, by name.");

export type RawProvider = z.output<typeof provider>;
