import type { Finding } from "./alert-book.ts";
import { type IsFiring, inWords, limitOf } from "./traffic-findings.ts";

/** A node, as far as anybody cares whether it is there. */
export interface NodeReading {
  name: string;
  /** Whether it ever connected; one that is only invited is not missed. */
  isKnown: boolean;
  /** Whether it takes requests. */
  isServing: boolean;
  /** When it was last heard of; null: not since the start. */
  lastSeenAtMs: number | null;
}

/** Nodes that are away, and whether all are. */
export function* findAwayNodes(nodes: Iterable<NodeReading>): Generator<Finding> {
  const known = [...nodes].filter(({ isKnown }) => isKnown);
  for (const { name, isServing, lastSeenAtMs } of known) {
    if (isServing) continue;
    const seen = lastSeenAtMs === null ? "" : `, last seen ${new Date(lastSeenAtMs).toISOString().slice(0, 16)}Z`;
    yield { rule: "node-away", key: name, summary: `Node ${name} is away${seen}`, labels: { node: name } };
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

/** How long an engine took to say what it serves, at both ends. */
export interface EngineLatencyReading {
  node: string;
  engine: string;
  /** As its agent, or the gateway itself for a node by URL, measured it. */
  engineMs: number;
  /** Round trip of the link; null: there is none. */
  linkMs: number | null;
}

export function* findSlowEngines(
  readings: Iterable<EngineLatencyReading>,
  threshold: number,
  isFiring: IsFiring,
): Generator<Finding> {
  for (const { node, engine, engineMs, linkMs } of readings) {
    const key = `${node}/${engine}`;
    const totalMs = engineMs + (linkMs ?? 0);
    if (totalMs <= limitOf(threshold, isFiring("slow-engine", key))) continue;
    const way = linkMs === null ? "" : ` there, and the way to it ${inWords(linkMs)}`;
    yield {
      rule: "slow-engine",
      key,
      summary: `Engine ${engine} on node ${node} takes ${inWords(engineMs)} to say what it serves${way}`,
      labels: { node, engine },
    };
  }
}
