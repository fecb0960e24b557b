import type { Logger } from "pino";
import type { Clock, Timer } from "../lib/clock.ts";
import { explainLatency, type LatencyVerdict } from "../routing/explain-latency.ts";
import type { TargetHealths } from "../routing/target-health.ts";
import { type EngineProbeResult, probeEngine } from "../tunnel/engine-probe.ts";
import type { NodeTarget } from "./node-target.ts";

/** How often an engine is asked through the link. */
const PROBE_EVERY_MS = 15_000;
/** The same after a question that was not answered well. */
const RETRY_MS = 2_000;
/** How often it is looked who is to be asked. */
const TICK_MS = 1_000;
/** Most questions under way at one time, over all nodes. */
const MAX_RUNNING = 64;

/** What is known of the way to one engine. */
export interface EngineLatency extends LatencyVerdict {
  atMs: number;
  throughMs: number;
  engineMs: number | null;
}

export interface EngineHealthParts {
  clock: Clock;
  log: Logger;
  health: TargetHealths;
  /** Those that are reached over links. */
  targets(): Iterable<NodeTarget>;
  /** Another one whenever `targets` may give others than before. */
  revision(): number;
  /** Round trip of the quickest link of a node; null where there is none. */
  pingMs(nodeId: string): number | null;
}

interface Watched {
  nextMs: number;
  isRunning: boolean;
  cancel(): void;
  latency: EngineLatency | null;
}

/**
 * Asks every engine that is reached over links, on the way that attempts take, for something that it has in memory; no model is
 * loaded for it. Measured at both ends, so that it is known which side is slow. An engine that does not answer counts as a
 * failure of each of its targets, as an attempt that fails does: requests go elsewhere before one of them has to find out (S3-31).
 */
export class EngineHealth {
  readonly #parts: EngineHealthParts;
  /** By node and engine. Those that are not among the targets any more are forgotten. */
  readonly #watched = new Map<string, Watched>();
  /** The targets of each engine, as of `#revision`: there may be thousands, and they seldom change. */
  #engines = new Map<string, NodeTarget[]>();
  #revision = -1;
  #running = 0;
  #timer: Timer | null = null;
  #isStopped = false;

  constructor(parts: EngineHealthParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#tick();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    for (const one of this.#watched.values()) one.cancel();
  }

  latencyOf(nodeId: string, engine: string): EngineLatency | null {
    return this.#watched.get(keyOf(nodeId, engine))?.latency ?? null;
  }

  /** For metrics. */
  *latencies(): Iterable<{ node: string; engine: string; latency: EngineLatency }> {
    for (const [first] of this.#byEngine().values()) {
      if (first === undefined) continue;
      const latency = this.latencyOf(first.backend.id, first.engine);
      if (latency !== null) yield { node: first.backend.name, engine: first.engine, latency };
    }
  }

  #byEngine(): Map<string, NodeTarget[]> {
    const revision = this.#parts.revision();
    if (revision === this.#revision) return this.#engines;
    this.#revision = revision;
    const engines = new Map<string, NodeTarget[]>();
    for (const target of this.#parts.targets()) {
      const key = keyOf(target.backend.id, target.engine);
      const all = engines.get(key);
      if (all === undefined) engines.set(key, [target]);
      else all.push(target);
    }
    this.#engines = engines;
    return engines;
  }

  #tick(): void {
    if (this.#isStopped) return;
    const { clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    const engines = this.#byEngine();
    for (const [key, one] of this.#watched) {
      if (engines.has(key)) continue;
      one.cancel();
      this.#watched.delete(key);
    }
    for (const [key, targets] of engines) {
      const way = targets.find((target) => target.canAccept());
      if (way === undefined) continue;
      let one = this.#watched.get(key);
      if (one === undefined) {
        one = { nextMs: nowMs, isRunning: false, cancel() {}, latency: null };
        this.#watched.set(key, one);
      }
      if (!one.isRunning && one.nextMs <= nowMs && this.#running < MAX_RUNNING) this.#ask(one, way, targets);
    }
    this.#timer = clock.after(TICK_MS, () => this.#tick());
  }

  #ask(one: Watched, way: NodeTarget, targets: readonly NodeTarget[]): void {
    const { clock } = this.#parts;
    one.isRunning = true;
    this.#running += 1;
    const over = (): void => {
      one.isRunning = false;
      this.#running -= 1;
    };
    const probe = probeEngine(way, way.engine, clock, (result) => {
      over();
      const isGood = result !== null && result.engine?.ok !== false;
      one.nextMs = clock.monotonicMs() + (isGood ? PROBE_EVERY_MS : RETRY_MS);
      if (result !== null && isGood) this.#measured(one, way, result);
      else this.#failed(one, targets, result);
    });
    one.cancel = () => {
      if (!one.isRunning) return;
      over();
      probe.cancel();
    };
  }

  #measured(one: Watched, target: NodeTarget, { throughMs, engine }: EngineProbeResult): void {
    const { clock, health, log } = this.#parts;
    const { busy, slots, backend } = target;
    const verdict = explainLatency({
      throughMs,
      engineMs: engine?.ms ?? null,
      pingMs: this.#parts.pingMs(backend.id),
      firstTokenMs: health.latencyMs(target.id),
      busy,
      slots,
      queued: target.queued,
    });
    const wasAlarm = one.latency?.level === "alarm";
    one.latency = { ...verdict, atMs: clock.nowMs(), throughMs, engineMs: engine?.ms ?? null };
    if (wasAlarm === (verdict.level === "alarm")) return;
    const facts = { node: backend.name, engine: target.engine, throughMs: Math.round(throughMs), side: verdict.side };
    if (wasAlarm) log.info(facts, "engine quick again");
    else log.warn({ ...facts, reason: verdict.text }, "engine slow");
  }

  #failed(one: Watched, targets: readonly NodeTarget[], result: EngineProbeResult | null): void {
    const { clock, health, log } = this.#parts;
    one.latency = null;
    const code = result === null ? "engine_timeout" : "engine_unreachable";
    const [first] = targets;
    log.debug({ node: first?.backend.name, engine: first?.engine, code }, "engine probe failed");
    for (const target of targets) health.failed(target.id, code, clock.monotonicMs());
  }
}

function keyOf(nodeId: string, engine: string): string {
  return `${nodeId}/${engine}`;
}
