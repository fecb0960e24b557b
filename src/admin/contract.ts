import { z } from "zod";
import { CAUSES } from "../continuity/contingency-state.ts";
import { MAC_SYNTAX, MAX_WEIGHT } from "../routing/steering.ts";
import { STRATEGIES } from "../routing/strategy.ts";
import { providerView } from "./contract-providers.ts";

/**
 * The `/admin/v1` contract: every input and answer once, as schemas. Routes check with them, the CLI reads with them.
 *
 * Inputs are strict (an unknown field is an error). Answers are read tolerantly, so that a newer gateway may add fields.
 * Times are UTC milliseconds, durations milliseconds, money micro-dollars.
 */
export const ADMIN_PREFIX = "/admin/v1";

/** Most names or globs in one list of models. */
const MAX_MODELS = 256;
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
const modelGlobs = z
  .array(
    z
      .string()
      .min(1)
      .max(256)
      .regex(/^[^\p{Cc}\s]+$/u, "no spaces or control characters"),
  )
  .max(MAX_MODELS);
export const ttl = z.int().min(1000).max(LONGEST_TTL_MS);

const breakerStatus = z.object({
  /** `node/NAME/ENGINE/MODEL` or `provider/NAME/MODEL`. */
  target: z.string(),
  state: z.enum(["closed", "half-open", "open"]),
  /** A code of errors.md, or `throttled`: the target asked for a pause. */
  reason: z.string().nullable(),
  /** When the next request may try it, if others can serve meanwhile. */
  probeAtMs: timestamp,
});
export type BreakerStatus = z.infer<typeof breakerStatus>;

const linkView = z.object({
  connectorId: z.string(),
  slot: z.int(),
  state: z.enum(["probing", "ready", "suspect", "draining", "closed"]),
  carrier: z.enum(["direct", "websocket"]),
  remoteAddress: z.string(),
  connectedAtMs: timestamp,
  lastPingMs: z.number().nullable(),
  streamsActive: z.int(),
});
export type LinkView = z.infer<typeof linkView>;

const connectorView = z.object({
  id: z.string(),
  createdAtMs: timestamp,
  lastSeenAtMs: timestamp.nullable(),
  isEphemeral: z.boolean(),
});

const invitationView = z.object({
  id: z.string(),
  createdAtMs: timestamp,
  expiresAtMs: timestamp,
  maxUses: z.int(),
  uses: z.int(),
  isEphemeral: z.boolean(),
});
export type InvitationView = z.infer<typeof invitationView>;

const engineKind = z.enum(["ollama", "llama-server", "vllm", "lm-studio", "sglang", "openai", "embedded"]);

/** Engines, and providers whose dialect is their own. */
const targetKind = z.enum([...engineKind.options, "anthropic", "mistral"]);

const nodeModelView = z.object({
  name: z.string(),
  engine: z.string(),
  loaded: z.boolean().nullable(),
  contextLength: z.number().nullable(),
  sizeBytes: z.number().nullable(),
  quantization: z.string().nullable(),
  /** False: offered, but outside the node's grant, and never routed. */
  granted: z.boolean(),
});

const advisoryView = z.object({
  severity: z.enum(["critical", "high", "medium", "info"]),
  /** CVE number, or a short name of ours. */
  id: z.string(),
  text: z.string(),
  /** Null where no version without it is known. */
  upgradeTo: z.string().nullable(),
});

const engineView = z.object({
  name: z.string(),
  kind: engineKind,
  version: z.string().nullable(),
  ready: z.boolean(),
  reason: z.string().nullable(),
  /** As the engine says it; null where it does not. */
  load: z
    .object({ running: z.number().nullable(), queued: z.number().nullable(), kvUse: z.number().nullable() })
    .nullable(),
  /** Requests it runs at once; null where nobody says. */
  slots: z.number().nullable(),
  /** Requests there now: the gateway's own, and those that the engine says came past it. */
  busy: z.number(),
  /** How long it takes for what it has in memory, measured at both ends; null where it was not asked yet, or has no agent. */
  latency: z
    .object({
      atMs: timestamp,
      /** There and back through the link, the engine's part included. */
      throughMs: z.number(),
      /** The engine's part, as its agent saw it. */
      engineMs: z.number().nullable(),
      level: z.enum(["good", "fair", "alarm"]),
      /** Which side is slow. */
      side: z.enum(["none", "engine", "network", "agent"]),
      text: z.string(),
    })
    .nullable(),
  /** What is known to be wrong with its version. */
  advisories: z.array(advisoryView),
});

export const nodeView = z.object({
  id: z.string(),
  name: z.string(),
  /** `file`: a direct node of `postern.yaml`, read-only here. */
  origin: z.enum(["store", "file"]),
  createdAtMs: timestamp.nullable(),
  /** Globs of what it may serve; null: names that no other node serves. */
  grants: z.array(z.string()).nullable(),
  /** For the `targets` of policies. */
  tags: z.array(z.string()),
  /** Whose machine it is; requests that may not leave go to no rented one. */
  locality: z.enum(["own", "rented"]),
  /** `unknown`: no gateway is running, so nobody can tell. */
  state: z.enum(["ready", "connected", "away", "invited", "unknown"]),
  agentVersion: z.string().nullable(),
  /** It gets no new requests. */
  isDrained: z.boolean(),
  /** How its machine is woken when requests wait for it; null: it is not. `via` is a node on its network. */
  wake: z.object({ mac: z.string(), via: z.string() }).nullable(),
  hardware: z
    .object({
      platform: z.string(),
      arch: z.string(),
      cpus: z.number(),
      memoryBytes: z.number(),
      gpus: z.array(z.string()),
    })
    .nullable(),
  engines: z.array(engineView),
  models: z.array(nodeModelView),
  connectors: z.array(connectorView),
  links: z.array(linkView),
  /** Only those that can still be used. */
  invitations: z.array(invitationView),
});
export type NodeView = z.infer<typeof nodeView>;

export const nodeList = z.object({ nodes: z.array(nodeView) });

export const inviteNodeInput = z.strictObject({
  name: configName,
  /** Globs of models the node may serve; null: names that no other node serves. Must be null or the same for a node that exists. */
  models: modelGlobs.nullable().default(null),
  /** More than 1 only with `--reusable`. */
  maxUses: z.int().min(1).max(1000).default(1),
  /** Connectors that join with it are forgotten some time after they went away. For pods. */
  isEphemeral: z.boolean().default(false),
  expiresInMs: ttl.default(3600 * 1000),
  /** Gateway's address as the GPU machine sees it; null: the configured public address. */
  url: z
    .url({ protocol: /^https?$/ })
    .nullable()
    .default(null),
});
export type InviteNodeInput = z.infer<typeof inviteNodeInput>;

/** What is left out stays as it is. */
export const updateNodeInput = z.strictObject({
  /** As in an invitation. */
  models: modelGlobs.nullable().optional(),
  tags: z.array(configName).max(64).optional(),
  locality: z.enum(["own", "rented"]).optional(),
});
export type UpdateNodeInput = z.infer<typeof updateNodeInput>;

/** The only answer that ever holds an invitation's code. */
export const invitedNode = z.object({
  node: z.string(),
  invitation: invitationView,
  code: z.string(),
  gatewayUrl: z.string(),
  /** To paste on the GPU machine; null when the agent's package cannot be served, and `joinLineReason` says why. */
  joinLine: z.string().nullable(),
  joinLineReason: z.string().nullable(),
  /** For a machine where Postern is installed already. */
  joinCommand: z.string(),
  /** What will not work as it stands, with the next step. */
  warnings: z.array(z.string()),
});
export type InvitedNode = z.infer<typeof invitedNode>;

export const removedNode = z.object({ name: z.string(), linksClosed: z.int() });
export type RemovedNode = z.infer<typeof removedNode>;

const modelTargetView = z.object({
  id: z.string(),
  /** Null at a provider. */
  node: z.string().nullable(),
  /** Null on a node. */
  provider: z.string().nullable(),
  engine: z.string(),
  kind: targetKind,
  engineModel: z.string(),
  ready: z.boolean(),
  reason: z.string().nullable(),
  loaded: z.boolean().nullable(),
  contextLength: z.number().nullable(),
  sizeBytes: z.number().nullable(),
  quantization: z.string().nullable(),
  /** Its share of the requests among its siblings; null where the model is not `weighted`. */
  weight: z.int().nullable(),
});
export type ModelTargetView = z.infer<typeof modelTargetView>;

export const modelView = z.object({
  /** The public name. */
  name: z.string(),
  /** Whether at least one target can take a request now. */
  ready: z.boolean(),
  /** `alias`: from `models:` of the configuration. `offered`: reported by a node but granted to none. */
  source: z.enum(["node", "provider", "alias", "offered"]),
  /** `models.NAME.required`. */
  required: z.boolean(),
  /** How requests are shared out. */
  strategy: z.enum(STRATEGIES),
  operations: z.array(z.string()),
  targets: z.array(modelTargetView),
});
export type ModelView = z.infer<typeof modelView>;

/** Says that a required model may be left with nobody who serves it. */
const force = z.boolean().default(false);

export const forceInput = z.strictObject({ force });
/** The same in a query. */
export const forceQuery = z.strictObject({ force: z.stringbool().default(false) });

export const weightInput = z.strictObject({
  model: z.string().min(1).max(256),
  /** A node, `provider/NAME`, the engine's name of the model, or a target's id; all that fit get the weight. */
  target: z.string().min(1).max(512),
  weight: z.int().min(0).max(MAX_WEIGHT),
  force,
});
export type WeightInput = z.infer<typeof weightInput>;

export const wakeInput = z.strictObject({
  wake: z
    .strictObject({
      mac: z
        .string()
        .transform((text) => text.toLowerCase().replaceAll("-", ":"))
        .pipe(z.string().regex(MAC_SYNTAX, { error: 'must be six bytes like "00:11:22:aa:bb:cc"' })),
      via: z.string().min(1).max(64),
    })
    .nullable(),
});
export type WakeInput = z.infer<typeof wakeInput>;

export const rollBackInput = z.strictObject({ model: z.string().min(1).max(256), force });
export type RollBackInput = z.infer<typeof rollBackInput>;

export const modelList = z.object({ models: z.array(modelView) });

export const probeInput = z.strictObject({
  model: z.string().min(1).max(256),
  timeoutMs: z.int().min(100).max(600_000).default(60_000),
});
export type ProbeInput = z.infer<typeof probeInput>;

/** Whether a model answered the smallest possible request, on the same way that a caller's request takes. */
export const probeResult = z.object({
  model: z.string(),
  ok: z.boolean(),
  reason: z.string().nullable(),
  target: z.string().nullable(),
  durationMs: z.number(),
});
export type ProbeResult = z.infer<typeof probeResult>;

export const backupInput = z.strictObject({
  /** Absolute path on the gateway's machine; must not exist. */
  path: z.string().min(1).max(4096),
});

export const backupResult = z.object({ path: z.string(), bytes: z.int() });
export type BackupResult = z.infer<typeof backupResult>;

const listenerView = z.object({
  name: z.enum(["public", "plain", "agents", "admin"]),
  /** `host:port` as it listens. */
  address: z.string(),
  /** From where it can be reached, as far as its address says; a firewall may allow less. */
  reach: z.enum(["machine", "private", "everywhere", "internet"]),
  /** `proxy`: a declared proxy in front terminates it. */
  tls: z.enum(["none", "files", "acme", "proxy"]),
  /** What whoever reaches it must have, in words. */
  needs: z.string(),
  certificate: z
    .object({
      names: z.array(z.string()),
      /** Null: there is none yet. */
      notAfterMs: timestamp.nullable(),
      /** Why the last attempt to get a newer one failed; the old one stays in use. */
      problem: z.string().nullable(),
      nextTryAtMs: timestamp.nullable(),
    })
    .nullable(),
});
export type ListenerView = z.infer<typeof listenerView>;

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

export const status = z.object({
  version: z.string(),
  /** Null when no gateway runs and the store was opened for this answer. */
  gateway: z
    .object({
      pid: z.int(),
      startedAtMs: timestamp,
      publicUrl: z.string(),
      adminUrl: z.string().nullable(),
      ready: z.boolean(),
      /** Why it is not ready; empty when it is. */
      reasons: z.array(z.string()),
      isDraining: z.boolean(),
      requestsActive: z.int(),
      queues: z
        .array(z.strictObject({ model: z.string(), depth: z.int() }))
        .describe("Requests among them that wait for a target of their model."),
      links: z.int(),
      /** Everything that listens, with who can reach it. */
      listeners: z.array(listenerView),
      /** What became of the last look at the configuration. */
      config: z.object({
        loadedAtMs: timestamp,
        /** Why the file as it is now is not used; null: it is. */
        problem: z.string().nullable(),
        /** Settings of the file that count only after a restart. */
        needsRestart: z.array(z.string()),
      }),
      /** Circuit breakers that are not closed. */
      breakers: z.array(breakerStatus),
      /** Clouds of the configuration. */
      providers: z.array(providerView),
    })
    .nullable(),
  dataFolder: z.string(),
  configFile: z.string().nullable(),
  keys: z.object({ active: z.int(), total: z.int() }),
  nodes: z.object({ connected: z.int(), total: z.int() }),
  models: z.object({ ready: z.int(), total: z.int() }),
  /** Engines of connected nodes whose version is known to be vulnerable; `info` advisories are left out. */
  engineAdvisories: z.array(
    advisoryView.extend({ node: z.string(), engine: z.string(), version: z.string().nullable() }),
  ),
  /** Models that only providers serve now, because none of their nodes can. */
  nodesAway: z.array(z.string()),
  /** Scopes that are not normal. */
  contingency: z.array(contingencyScope),
  drills: z.object({
    running: z.object({ id: z.string(), plan: z.string(), state: z.string() }).nullable(),
    /** Plans that should have run more than a day ago. */
    overdue: z.array(z.object({ plan: z.string(), sinceMs: timestamp })),
  }),
  /** What fires now and is neither silenced nor taken on by somebody, the worst first. */
  alerts: z.array(z.object({ id: z.string(), rule: z.string(), severity: z.string(), summary: z.string() })),
  /** Null when well; otherwise plain words with the next step. */
  storeTrouble: z.string().nullable(),
  ledgerTrouble: z.string().nullable(),
});
export type Status = z.infer<typeof status>;

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
