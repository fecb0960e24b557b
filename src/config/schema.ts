import { z } from "zod";
import { MAX_WEIGHT } from "../routing/steering.ts";
import { STRATEGIES } from "../routing/strategy.ts";
import { access, endpoints, trustedProxies } from "./schema-access.ts";
import { alerts } from "./schema-alerts.ts";
import { continuity } from "./schema-continuity.ts";
import { cors, limits, publicTls, queue, timeouts, tlsFiles } from "./schema-edge.ts";
import { capture, prices } from "./schema-keys.ts";
import { providers } from "./schema-providers.ts";
import {
  configName,
  count,
  DAY_MS,
  duration,
  engineUrl,
  listen,
  MAX_ENTRIES,
  modelName,
  origin,
  path,
  secret,
} from "./schema-values.ts";

const engineKind = z.enum(["ollama", "llama-server", "vllm", "lm-studio", "sglang", "openai"]);

const engineAddress = {
  url: engineUrl().describe("The engine's address, like `http://127.0.0.1:11434`."),
  kind: engineKind.optional().describe("What the server is. Left out: found out from what it answers."),
  apiKey: secret("The engine's own key").optional(),
  slots: count(1, 100_000)
    .optional()
    .describe("Requests it runs at once; others wait in the gateway. Left out: what it says itself, if anything."),
  host: z
    .string()
    .regex(/^[^\s/@?#\p{Cc}]{1,255}$/u, { error: 'must be a host with an optional port, like "localhost:11434"' })
    .optional()
    .describe("Value of the `Host` header. Left out: what the engine kind needs."),
  ca: path("PEM file of the authority that signed the engine's certificate").optional(),
  serverName: z.string().min(1).max(253).optional().describe("Name that the engine's certificate must carry."),
};

const fieldRules = {
  unknown: z
    .enum(["remove", "refuse"])
    .optional()
    .describe("What happens to fields of a request that no table knows: taken out and named, or a 400."),
  allow: z
    .array(
      z
        .string()
        .regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,127}$/, { error: 'must be the name of a field, like "options.num_gpu"' }),
    )
    .max(MAX_ENTRIES)
    .optional()
    .describe("Fields that pass although no table lists them, dangerous ones too; nested ones like `options.num_gpu`."),
  maxChoices: count(1, 1024).optional().describe("Most answers to one prompt (`n`, `best_of`)."),
  maxTokens: count(1, 100_000_000).optional().describe("Most tokens of one answer. Left out: the engine's own limit."),
  maxContext: count(256, 100_000_000)
    .optional()
    .describe(
      "Largest window that a caller may have a model loaded with (`num_ctx`). Left out: the largest of the steps.",
    ),
  maxKeepAlive: duration({}).optional().describe("Longest that a caller may keep a model in memory (`keep_alive`)."),
  remoteMedia: z
    .boolean()
    .optional()
    .describe("Whether engines may fetch images and the like from addresses that callers name."),
};

/** Names of the opt-in operations of dialects/operations.ts, without their family. */
const OPTIONAL_OPERATIONS = ["rerank", "transcriptions"] as const;

const gateway = z.strictObject({
  listen: listen().optional().describe("Public listener."),
  publicUrl: origin("the public address")
    .optional()
    .describe("The address that callers and agents use, like `https://ai.example.org`. Left out: the listener's own."),
  tls: publicTls.optional().describe("TLS of the public listener: your certificate, or one that is ordered by ACME."),
  plainListen: listen()
    .optional()
    .describe(
      "A second public listener without TLS, usually port 80. It answers ACME's questions, sends browsers to https, and refuses whatever carries a key.",
    ),
  cors: cors
    .optional()
    .describe("Web pages of other origins that may call the gateway from a browser. Left out: none."),
  agents: z
    .strictObject({
      listen: listen().describe("Listener that takes agents' links and nothing else."),
      tls: tlsFiles.describe("Its certificate. The files are read again when they change."),
    })
    .optional()
    .describe("A second listener for agents, where the public one is behind a proxy that should not carry links."),
  admin: z
    .strictObject({
      listen: listen()
        .optional()
        .describe("Listener for health, metrics and the admin API. Loopback only, unless it has `tls`."),
      tls: tlsFiles
        .optional()
        .describe("Its certificate; needed off loopback. The files are read again when they change."),
      hosts: z
        .array(z.string().regex(/^[a-zA-Z0-9.:[\]-]{1,253}$/, { error: "must be a host name" }))
        .max(MAX_ENTRIES)
        .optional()
        .describe("Further `Host` names under which it may be asked."),
    })
    .optional()
    .describe("The admin listener."),
  trustedProxies: trustedProxies
    .optional()
    .describe(
      "TLS-terminating proxies in front, whose word about the caller's address counts: ranges, `cloudflare`, `loopback`, `private`, or what more they must show.",
    ),
  limits: limits.optional().describe("Bounds of the process."),
  timeouts: timeouts.optional().describe("Times after which something is given up."),
  queue: queue
    .optional()
    .describe("Requests that wait, because every target of their model is full, loads it, or sleeps."),
  fields: z
    .strictObject(fieldRules)
    .optional()
    .describe("What callers may put into requests. Agents have a policy of their own beside it."),
  optional: z
    .array(z.enum(OPTIONAL_OPERATIONS))
    .max(OPTIONAL_OPERATIONS.length)
    .optional()
    .describe("Operations that are not served unless they are named here."),
});

const storage = z.strictObject({
  capture: capture.optional(),
  requestRetention: z
    .union([z.literal("forever"), duration({ minMs: DAY_MS, min: "1d", maxMs: 36_500 * DAY_MS, max: "36500d" })], {
      error: 'must be "forever" or a duration of at least one day, like "90d"',
    })
    .optional()
    .describe("How long single requests are kept; daily totals always are. A duration, or `forever`."),
  auditRetention: z
    .union(
      [z.literal("forever"), duration({ minMs: 30 * DAY_MS, min: "30d", maxMs: 36_500 * DAY_MS, max: "36500d" })],
      {
        error: 'must be "forever" or a duration of at least 30 days, like "365d"',
      },
    )
    .optional()
    .describe("How long entries of the audit trail are kept. A duration, or `forever`. Export them first."),
  syncEvery: duration({ maxMs: 60_000, max: "1m" })
    .optional()
    .describe("Longest time that a usage record may be only in the operating system's memory. `0s`: never."),
});

const model = z
  .strictObject({
    targets: z
      .array(
        z
          .strictObject({
            model: modelName.describe("The name under which a node or provider offers it, or the provider's own name."),
            node: configName.optional().describe("Only on this node. Left out: any that offers it."),
            provider: configName.optional().describe("Only at this provider. Left out: any that offers it."),
            weight: count(0, MAX_WEIGHT)
              .optional()
              .describe("Its share of the requests beside the others (`strategy: weighted`). `0`: none. Left out: 1."),
          })
          .refine((one) => one.node === undefined || one.provider === undefined, {
            error: "names a node and a provider; it can be at one of them only",
          }),
      )
      .min(1)
      .max(MAX_ENTRIES)
      .optional()
      .describe(
        "What answers; in order of preference with `strategy: priority`. A name with `*` stands for every name like it that nobody offers.",
      ),
    hidden: z.boolean().optional().describe("Not in lists; who knows the name may use it."),
    strategy: z
      .enum(STRATEGIES)
      .optional()
      .describe("Which target comes first. Left out: `weighted` where a target has a weight, else `least-busy`."),
    required: z
      .boolean()
      .optional()
      .describe("Changes that would leave it without a target that is ready are refused, unless they are forced."),
    rescue: z
      .boolean()
      .optional()
      .describe(
        "When a stream breaks off, another target goes on with the text, where its engine can (docs/reference/faults.md).",
      ),
  })
  .refine((one) => Object.keys(one).length > 0, {
    error: "needs `targets`, `hidden`, `strategy`, `required` or `rescue`",
  });

/** What the agent itself says to a program that it starts. */
const AGENTS_OWN_ARGUMENTS = /^(--host|--port|--api-key|--api-key-file)(=|$)/;

const startedEngine = z.strictObject({
  program: z
    .string()
    .min(1)
    .max(4096)
    .optional()
    .describe("The program: a path, or a name to look up. Left out: `llama-server` or `vllm`, as the kind says."),
  args: z
    .array(
      z
        .string()
        .max(4096)
        .refine((word) => !AGENTS_OWN_ARGUMENTS.test(word), {
          error: "must not be the address, the port or the key: those are set by the agent",
        }),
    )
    .max(MAX_ENTRIES)
    .optional()
    .describe('Its arguments, like `["--model", "/models/qwen3-8b.gguf"]`. Without address, port and key.'),
  port: count(1, 65_535).optional().describe("Port on loopback. Left out: a free one."),
  environment: z
    .record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, { error: "must be the name of an environment variable" }),
      z.string().max(32_768),
    )
    .optional()
    .describe("Environment variables for it, beside the agent's own."),
});

/** Fields that say how to reach an engine, which the agent knows of one that it starts. */
const ADDRESS_FIELDS = ["url", "apiKey", "slots", "host", "ca", "serverName", "exposureAccepted"] as const;

function checkStart(engine: Record<string, unknown>, context: z.RefinementCtx): void {
  const fault = (field: string, message: string) => context.addIssue({ code: "custom", path: [field], message });
  if (engine["start"] === undefined) {
    if (engine["url"] === undefined) fault("url", "is missing, and so is `start`");
    return;
  }
  if (engine["kind"] !== "llama-server" && engine["kind"] !== "vllm") {
    fault("kind", 'must be "llama-server" or "vllm": those can be started');
  }
  for (const field of ADDRESS_FIELDS) if (engine[field] !== undefined) fault(field, "cannot stand beside `start`");
}

const agent = z.strictObject({
  gateway: origin("the gateway's address")
    .optional()
    .describe("The gateway to dial. Left out: the one that was joined."),
  node: configName.optional().describe("Name of this machine. Left out: its host name."),
  wakeOnLan: z
    .boolean()
    .optional()
    .describe("Whether the gateway may have this machine wake others on its network (a UDP broadcast). Left out: no."),
  discover: z.boolean().optional().describe("Whether engines on their usual loopback ports are looked for."),
  engines: z
    .record(
      configName,
      z
        .strictObject({
          ...engineAddress,
          url: engineAddress.url.optional(),
          exposureAccepted: z
            .boolean()
            .optional()
            .describe("You know that this engine listens on more than loopback; no warning."),
          start: startedEngine.optional().describe("Run the engine as a child of the agent, on loopback with a key."),
        })
        .superRefine(checkStart),
    )
    .optional()
    .describe("Engines beside those that are found, by name."),
  embedded: z
    .strictObject({
      mode: z
        .enum(["auto", "always", "none"])
        .optional()
        .describe("`auto`: only when no other engine is found; `always`: besides others; `none`: never installed."),
      model: path("GGUF file to serve instead of the demo model").optional(),
    })
    .optional()
    .describe("The llama.cpp that Postern brings along."),
  guard: z
    .strictObject({
      ...fieldRules,
      remoteModels: z
        .array(modelName)
        .max(MAX_ENTRIES)
        .optional()
        .describe(
          "Models that an engine forwards to its own cloud (Ollama `:cloud`) and that may be served. Others are hidden.",
        ),
    })
    .optional()
    .describe("What this machine lets through to its engines, whatever the gateway allows."),
});

/**
 * `postern.yaml` as people write it. Strict: an unknown key is an error.
 *
 * Each `describe` is the text of the reference and of the JSON Schema for editors. Fields are optional; defaults stand in
 * `resolved.ts`.
 */
export const configSchema = z.strictObject({
  gateway: gateway.optional().describe("The public program."),
  endpoints: endpoints
    .optional()
    .describe("Public hosts and path prefixes, by name. The one called `default` is at the gateway's own names."),
  access: access.optional().describe("Who may do what, and from where."),
  storage: storage.optional().describe("What is kept, and for how long."),
  nodes: z
    .record(
      configName,
      z.strictObject({
        ...engineAddress,
        tags: z
          .array(configName)
          .max(MAX_ENTRIES)
          .optional()
          .describe("Labels by which policies may choose it (`targets.tags`)."),
        locality: z
          .enum(["own", "rented"])
          .optional()
          .describe("Whose machine it is. Requests that may not leave (`mayLeave: no`) never go to a rented one."),
      }),
    )
    .optional()
    .describe("Engines that the gateway reaches by URL without an agent, by name."),
  providers: providers.optional(),
  models: z
    .record(modelName, model)
    .optional()
    .describe("Public names that stand for other names. Models that nodes report need no entry."),
  prices: prices.optional(),
  continuity: continuity.optional().describe("What happens when providers or nodes are away."),
  alerts: alerts.optional().describe("Who is told when something is wrong."),
  agent: agent.optional().describe("The program beside the engines."),
});

/** What the file says, units already parsed. */
export type RawConfig = z.output<typeof configSchema>;
export type RawFieldRules = NonNullable<NonNullable<RawConfig["gateway"]>["fields"]>;
export type RawEngineAddress = NonNullable<RawConfig["nodes"]>[string];

/** Keys that DESIGN has and this version does not yet; `*` stands for any name. Refused with those words. */
export const NOT_YET: readonly string[] = ["cluster", "storage.url", "models.*.strategy"];
