import { z } from "zod";
import { MAC_SYNTAX } from "../routing/steering.ts";
import { configName, timestamp, ttl } from "./contract.ts";

/** What an engine of a node may be. */
export const engineKind = z.enum(["ollama", "llama-server", "vllm", "lm-studio", "sglang", "openai", "embedded"]);

/** Most names or globs in one list of models. */
const MAX_MODELS = 256;
const modelGlobs = z
  .array(
    z
      .string()
      .min(1)
      .max(256)
      .regex(/^[^\p{Cc}\s]+$/u, "no spaces or control characters"),
  )
  .max(MAX_MODELS);

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

export const advisoryView = z.object({
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
