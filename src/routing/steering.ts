import { z } from "zod";

/** What the operator has said while the gateway runs: which nodes get no new requests, and how requests are shared out. */
export interface Steering {
  /** Ids of nodes that get no new requests. */
  readonly drained: readonly string[];
  /** By public name of the model: the weight of each target that was given one, by its id. They count before the file's. */
  readonly weights: Readonly<Record<string, ModelWeights>>;
  /** How machines are woken, by the node's id. */
  readonly wakes: Readonly<Record<string, WakeSetting>>;
  /** What `weights` said before the last change of a model; null: nothing. */
  readonly previous: Readonly<Record<string, ModelWeights | null>>;
}

/** A machine that can be woken by a packet on its network. */
export interface WakeSetting {
  /** Six bytes in lower-case hexadecimal, with colons. */
  readonly mac: string;
  /** Id of a node on the same network, whose agent sends the packet. */
  readonly via: string;
}

export type ModelWeights = Readonly<Record<string, number>>;

/** Under this name it is in the store. */
export const STEERING_SETTING = "steering";
/** Largest weight of a target. */
export const MAX_WEIGHT = 1000;
/** Most models with weights of their own, and most targets of one of them. */
const MAX_MODELS = 1000;
const MAX_TARGETS = 1000;

export const NO_STEERING: Steering = { drained: [], weights: {}, wakes: {}, previous: {} };

/** As network cards' addresses are kept. */
export const MAC_SYNTAX = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/;

const weights = z
  .record(z.string(), z.int().min(0).max(MAX_WEIGHT))
  .refine((all) => Object.keys(all).length <= MAX_TARGETS);
const saved = z.object({
  drained: z.array(z.string()),
  weights: z.record(z.string(), weights),
  wakes: z.record(z.string(), z.object({ mac: z.string().regex(MAC_SYNTAX), via: z.string() })).default({}),
  previous: z.record(z.string(), weights.nullable()),
});

/** What was saved. Null where it cannot be read. */
export function readSteering(bytes: Uint8Array | null): Steering | null {
  if (bytes === null) return NO_STEERING;
  try {
    return saved.parse(JSON.parse(Buffer.from(bytes).toString("utf8")));
  } catch {
    return null;
  }
}

export function writeSteering(steering: Steering): Uint8Array {
  return Buffer.from(JSON.stringify(steering));
}

export function withDrained(steering: Steering, nodeId: string, isDrained: boolean): Steering {
  const others = steering.drained.filter((id) => id !== nodeId);
  return { ...steering, drained: isDrained ? [...others, nodeId] : others };
}

/** @param setting Null: the machine is not woken. */
export function withWake(steering: Steering, nodeId: string, setting: WakeSetting | null): Steering {
  const { [nodeId]: _before, ...others } = steering.wakes;
  return { ...steering, wakes: setting === null ? others : { ...others, [nodeId]: setting } };
}

/** Of a node that is gone for good. */
export function withoutNode(steering: Steering, nodeId: string): Steering {
  return withWake(withDrained(steering, nodeId, false), nodeId, null);
}

/** Null where too many models have weights already. */
export function withWeights(steering: Steering, model: string, changed: ModelWeights): Steering | null {
  const before = steering.weights[model] ?? null;
  if (before === null && Object.keys(steering.weights).length >= MAX_MODELS) return null;
  return {
    ...steering,
    weights: { ...steering.weights, [model]: { ...before, ...changed } },
    previous: { ...steering.previous, [model]: before },
  };
}

/** The weights of before the last change; a second time takes that back. Null where none were ever changed. */
export function rolledBack(steering: Steering, model: string): Steering | null {
  const before = steering.previous[model];
  if (before === undefined) return null;
  const { [model]: now = null, ...others } = steering.weights;
  return {
    ...steering,
    weights: before === null ? others : { ...others, [model]: before },
    previous: { ...steering.previous, [model]: now },
  };
}
