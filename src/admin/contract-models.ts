import { z } from "zod";
import { MAX_WEIGHT } from "../routing/steering.ts";
import { STRATEGIES } from "../routing/strategy.ts";
import { force } from "./contract.ts";
import { engineKind } from "./contract-nodes.ts";

/** Engines, and providers whose dialect is their own. */
const targetKind = z.enum([...engineKind.options, "anthropic", "mistral"]);

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

export const weightInput = z.strictObject({
  model: z.string().min(1).max(256),
  /** A node, `provider/NAME`, the engine's name of the model, or a target's id; all that fit get the weight. */
  target: z.string().min(1).max(512),
  weight: z.int().min(0).max(MAX_WEIGHT),
  force,
});
export type WeightInput = z.infer<typeof weightInput>;

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
