import { z } from "zod";
import { readPrefix } from "../lib/cidr.ts";
import { DURATION_RULE, parseDuration } from "../lib/duration.ts";
import { parseSize, SIZE_RULE } from "../lib/size.ts";
import { LISTEN_RULE, parseListen } from "./listen-address.ts";

/**
 * `postern.yaml` as people write it. Strict: an unknown key is an error.
 *
 * Each `describe` is the text of the reference and of the JSON Schema for editors. Fields are optional; defaults stand in
 * `resolved.ts`.
 */
const MiB = 1024 ** 2;
const GiB = 1024 ** 3;
const DAY_MS = 86_400_000;

/** Largest number of entries in one map or list of the file. */
const MAX_ENTRIES = 1000;

function duration(bounds: { minMs?: number; maxMs?: number; min?: string; max?: string }) {
  return z
    .string()
    .refine((text) => parseDuration(text) !== null, { error: `must be ${DURATION_RULE}`, abort: true })
    .transform((text) => parseDuration(text) ?? 0)
    .refine((ms) => ms >= (bounds.minMs ?? 0), { error: `must be at least ${bounds.min}` })
    .refine((ms) => ms <= (bounds.maxMs ?? 30 * DAY_MS), { error: `must be at most ${bounds.max ?? "30d"}` })
    .meta({ "x-kind": "duration", pattern: "^[0-9]+(ms|s|m|h|d)$" });
}

function size(bounds: { minBytes: number; maxBytes: number; min: string; max: string }) {
  return z
    .string()
    .refine((text) => parseSize(text) !== null, { error: `must be ${SIZE_RULE}`, abort: true })
    .transform((text) => parseSize(text) ?? 0)
    .refine((bytes) => bytes >= bounds.minBytes, { error: `must be at least ${bounds.min}` })
    .refine((bytes) => bytes <= bounds.maxBytes, { error: `must be at most ${bounds.max}` })
    .meta({ "x-kind": "size", pattern: "^[0-9]+(B|KiB|MiB|GiB|TiB)$" });
}

function count(min: number, max: number) {
  return z.int().min(min).max(max);
}

function listen() {
  return z
    .string()
    .refine((text) => parseListen(text) !== null, { error: `must be ${LISTEN_RULE}`, abort: true })
    .transform((text) => parseListen(text) ?? { host: "127.0.0.1", port: 0 })
    .meta({ "x-kind": "listen" });
}

function addressRange() {
  return z
    .string()
    .superRefine((text, context) => {
      const { fault } = readPrefix(text);
      if (fault !== null) context.addIssue({ code: "custom", message: fault });
    })
    .meta({ "x-kind": "address range" });
}

function origin(what: string) {
  return z
    .string()
    .refine((text) => readUrl(text, true) !== null, {
      error: `must be ${what}: http:// or https://, host and port, without a path`,
    })
    .transform((text) => readUrl(text, true) ?? text)
    .meta({ "x-kind": "origin" });
}

function engineUrl() {
  return z
    .string()
    .refine((text) => readUrl(text, false) !== null, {
      error: "must be the engine's address: http:// or https:// with a host, without credentials, query or fragment",
    })
    .transform((text) => readUrl(text, false) ?? text)
    .meta({ "x-kind": "url" });
}

function readUrl(text: string, originOnly: boolean): string | null {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "") return null;
  if (url.search !== "" || url.hash !== "" || /[?#]/.test(text)) return null;
  if (originOnly && url.pathname !== "/") return null;
  return originOnly ? url.origin : url.href.replace(/\/+$/, "");
}

/** Where a secret is: never the secret itself. */
function secret(what: string) {
  return z
    .string()
    .regex(/^(?:env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$/, {
      error: "must be env:NAME or file:PATH, never the secret itself",
    })
    .meta({ "x-kind": "secret" })
    .describe(`${what}, as \`env:NAME\` (an environment variable) or \`file:PATH\`.`);
}

function path(what: string) {
  return z
    .string()
    .min(1)
    .max(4096)
    .meta({ "x-kind": "path" })
    .describe(`${what}; relative to the configuration file.`);
}

/** Names of nodes, engines and the like, as they appear in headers and on the command line. */
const configName = z.string().regex(/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/, {
  error: 'must be lower-case letters, digits, ".", "_" and "-", at most 64',
});

const modelName = z.string().regex(/^[^\p{Cc}\s]{1,256}$/u, {
  error: "must be 1 to 256 characters without spaces or control characters",
});

const engineKind = z.enum(["ollama", "llama-server", "vllm", "lm-studio", "sglang", "openai"]);

const engineAddress = {
  url: engineUrl().describe("The engine's address, like `http://127.0.0.1:11434`."),
  kind: engineKind.optional().describe("What the server is. Left out: found out from what it answers."),
  apiKey: secret("The engine's own key").optional(),
  host: z
    .string()
    .regex(/^[^\s/@?#\p{Cc}]{1,255}$/u, { error: 'must be a host with an optional port, like "localhost:11434"' })
    .optional()
    .describe("Value of the `Host` header. Left out: what the engine kind needs."),
  ca: path("PEM file of the authority that signed the engine's certificate").optional(),
  serverName: z.string().min(1).max(253).optional().describe("Name that the engine's certificate must carry."),
};

const limits = z.strictObject({
  body: size({ minBytes: 1024, maxBytes: GiB, min: "1KiB", max: "1GiB" }).optional().describe("Largest request body."),
  bodyMemory: size({ minBytes: MiB, maxBytes: 64 * GiB, min: "1MiB", max: "64GiB" })
    .optional()
    .describe("Sum of all request bodies held at one time; beyond it new bodies get 503."),
  headers: size({ minBytes: 4096, maxBytes: 256 * 1024, min: "4KiB", max: "256KiB" })
    .optional()
    .describe("Largest request head."),
  jsonDepth: count(8, 1000).optional().describe("Deepest nesting of a JSON body."),
  jsonValues: count(100, 10_000_000).optional().describe("Most values in a JSON body."),
  connections: count(1, 1_000_000).optional().describe("Open connections on the public listener."),
  requests: count(1, 1_000_000).optional().describe("Inference requests running at one time."),
  requestsPerKey: count(1, 1_000_000).optional().describe("Inference requests running at one time with one key."),
  authFailuresPerMinute: count(1, 100_000)
    .optional()
    .describe("Failed authentications per minute from one address before it gets 429."),
  handshakes: count(1, 10_000).optional().describe("Tunnel handshakes under way at one time."),
  links: count(1, 1_000_000).optional().describe("Live links of all agents."),
});

const short = { minMs: 10, min: "10ms" };

const timeouts = z.strictObject({
  connect: duration(short).optional().describe("Connection to an engine."),
  firstToken: duration(short).optional().describe("First token of a model that is loaded, on a node of your own."),
  firstTokenCold: duration(short).optional().describe("First token of a model that must be loaded first."),
  firstTokenColdPerGib: duration({}).optional().describe("Added to `firstTokenCold` for each GiB of the model."),
  firstTokenProvider: duration(short).optional().describe("First token of a provider."),
  betweenTokens: duration(short).optional().describe("Longest silence within an answer of a node of your own."),
  betweenTokensProvider: duration(short).optional().describe("Longest silence within an answer of a provider."),
  total: duration(short).optional().describe("A whole request."),
  hold: duration({}).optional().describe("How long an answer is held back for certainty before it is committed."),
  loading: duration({})
    .optional()
    .describe("How long a request waits for an engine that loads its model. `0s`: it is answered 503 at once."),
  keepAlive: duration(short).optional().describe("Silence towards the caller before a keep-alive is sent."),
  callerIdle: duration(short).optional().describe("A caller that neither sends nor takes a byte."),
  requestHead: duration(short).optional().describe("Head of a request, first byte to last."),
  requestBody: duration(short).optional().describe("Body of a request, first byte to last."),
  drain: duration({}).optional().describe("How long running requests may finish when the gateway stops."),
});

const tlsFiles = z.strictObject({
  cert: path("PEM file of the certificate chain"),
  key: path("PEM file of the certificate's key"),
});

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
  tls: tlsFiles.optional().describe("Certificate of the public listener. The files are read again when they change."),
  agents: z
    .strictObject({
      listen: listen().describe("Listener that takes agents' links and nothing else."),
      tls: tlsFiles.describe("Its certificate. The files are read again when they change."),
    })
    .optional()
    .describe("A second listener for agents, where the public one is behind a proxy that should not carry links."),
  admin: z
    .strictObject({
      listen: listen().optional().describe("Listener for health and metrics. Loopback only."),
      hosts: z
        .array(z.string().regex(/^[a-zA-Z0-9.:[\]-]{1,253}$/, { error: "must be a host name" }))
        .max(MAX_ENTRIES)
        .optional()
        .describe("Further `Host` names under which health and metrics may be read."),
    })
    .optional()
    .describe("The admin listener."),
  trustedProxies: z
    .array(addressRange())
    .max(MAX_ENTRIES)
    .optional()
    .describe("Addresses of TLS-terminating proxies in front; only these may tell the caller's address."),
  limits: limits.optional().describe("Bounds of the process."),
  timeouts: timeouts.optional().describe("Times after which something is given up."),
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
  requestRetention: z
    .union([z.literal("forever"), duration({ minMs: DAY_MS, min: "1d", maxMs: 36_500 * DAY_MS, max: "36500d" })], {
      error: 'must be "forever" or a duration of at least one day, like "90d"',
    })
    .optional()
    .describe("How long single requests are kept; daily totals always are. A duration, or `forever`."),
  syncEvery: duration({ maxMs: 60_000, max: "1m" })
    .optional()
    .describe("Longest time that a usage record may be only in the operating system's memory. `0s`: never."),
});

const model = z
  .strictObject({
    targets: z
      .array(
        z.strictObject({
          model: modelName.describe("The name under which a node offers it."),
          node: configName.optional().describe("Only on this node. Left out: any that offers it."),
        }),
      )
      .min(1)
      .max(MAX_ENTRIES)
      .optional()
      .describe(
        "What answers, in order of preference. A name with `*` stands for every name like it that nobody offers.",
      ),
    hidden: z.boolean().optional().describe("Not in lists; who knows the name may use it."),
  })
  .refine((one) => one.targets !== undefined || one.hidden !== undefined, { error: "needs `targets` or `hidden`" });

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
const ADDRESS_FIELDS = ["url", "apiKey", "host", "ca", "serverName", "exposureAccepted"] as const;

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

export const configSchema = z.strictObject({
  gateway: gateway.optional().describe("The public program."),
  storage: storage.optional().describe("What is kept, and for how long."),
  nodes: z
    .record(configName, z.strictObject(engineAddress))
    .optional()
    .describe("Engines that the gateway reaches by URL without an agent, by name."),
  models: z
    .record(modelName, model)
    .optional()
    .describe("Public names that stand for other names. Models that nodes report need no entry."),
  agent: agent.optional().describe("The program beside the engines."),
});

/** What the file says, units already parsed. */
export type RawConfig = z.output<typeof configSchema>;
export type RawFieldRules = NonNullable<NonNullable<RawConfig["gateway"]>["fields"]>;
export type RawEngineAddress = NonNullable<RawConfig["nodes"]>[string];

/** Keys that DESIGN has and this version does not yet; `*` stands for any name. Refused with those words. */
export const NOT_YET: readonly string[] = [
  "endpoints",
  "cluster",
  "access",
  "providers",
  "continuity",
  "alerts",
  "gateway.cors",
  "gateway.tls.acme",
  "storage.url",
  "nodes.*.tags",
  "nodes.*.locality",
  "models.*.strategy",
];
