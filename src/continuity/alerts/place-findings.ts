import type { Finding } from "./alert-book.ts";
import { type IsFiring, inWords, limitOf } from "./traffic-findings.ts";

/** A node, as far as anybody cares whether it is there. */
export interface NodeReading {
  name: string;
  /** Whether it ever connected; one that is only invited is not missed. */
  isKnown: boolean;
  /** Whether it takes requests. */
  isServing: boolean;
}

/** Nodes that are away, and whether all are. */
export function* findAwayNodes(nodes: Iterable<NodeReading>): Generator<Finding> {
  const known = [...nodes].filter(({ isKnown }) => isKnown);
  for (const { name, isServing } of known) {
    if (isServing) continue;
    yield { rule: "node-away", key: name, summary: `Node ${name} is away`, labels: { node: name } };
  }
  if (known.length === 0 || known.some(({ isServing }) => isServing)) return;
  const summary =
    known.length === 1 ? `The only node, ${known[0]?.name}, is away` : `All ${known.length} nodes are away`;
  yield { rule: "all-nodes-away", key: "", summary, labels: {} };
}

/** Models that must be able to answer, and cannot. */
export function* findMissingModels(
  models: readonly string[],
  canAnswer: (model: string) => boolean,
): Generator<Finding> {
  for (const model of models) {
    if (canAnswer(model)) continue;
    yield { rule: "model-missing", key: model, summary: `Model ${model} cannot answer anywhere`, labels: { model } };
  }
}

/** A breaker that is not closed. */
export interface BreakerReading {
  target: string;
  reason: string | null;
}

export function* findOpenBreakers(breakers: Iterable<BreakerReading>): Generator<Finding> {
  for (const { target, reason } of breakers) {
    const why = reason === null ? "" : ` (${reason})`;
    const summary = `${target} gets no requests: it failed too often${why}`;
    yield { rule: "breaker-open", key: target, summary, labels: { target } };
  }
}

/** How long an engine takes to answer a question of memory, measured at both ends. */
export interface EngineLatencyReading {
  node: string;
  engine: string;
  /** There and back through the link, the engine's part included. */
  throughMs: number;
  /** The engine's part, as its agent saw it; null where nobody says. */
  engineMs: number | null;
  /** Which side is slow, in words. */
  why: string;
}

export function* findSlowEngines(
  readings: Iterable<EngineLatencyReading>,
  threshold: number,
  isFiring: IsFiring,
): Generator<Finding> {
  for (const { node, engine, throughMs, engineMs, why } of readings) {
    const key = `${node}/${engine}`;
    if (throughMs <= limitOf(threshold, isFiring("slow-engine", key))) continue;
    const ends = engineMs === null ? "" : `, ${inWords(engineMs)} of them in the engine`;
    yield {
      rule: "slow-engine",
      key,
      summary: `Engine ${engine} on node ${node} takes ${inWords(throughMs)} to answer${ends}: ${why}`,
      labels: { node, engine },
    };
  }
}
