import { coversBackend, coversRequest, isInShare } from "./fault.ts";
import { Latencies } from "./latency.ts";
import type { DrillPlan } from "./plan.ts";
import type { DrillTimes, Figures, FiguresByPhase, Phase, SeriesPoint } from "./record.ts";

/** Most workflows that are counted apart; the rest is only in the sums. */
const MAX_WORKFLOWS = 100;
/** Points of the charts. */
const SERIES_POINTS = 120;

/** A request that is over, as a drill judges it. */
export interface DrillRequest {
  id: string;
  /** Null where it was refused before that was known. */
  model: string | null;
  workflow: string | null;
  openedAtMs: number;
  durationMs: number;
  /** `mistake`: the caller's own. `left`: nobody waited for the end. */
  outcome: "ok" | "error" | "mistake" | "left";
  attempts: ReadonlyArray<{ target: string; startedAtMs: number; endedAtMs: number; ok: boolean }>;
}

interface PhaseCount {
  requests: number;
  errors: number;
  latencies: Latencies;
  servedBy: Map<string, number>;
}

type ByPhase = Record<Phase, PhaseCount>;

/** Counts what becomes of the requests of a drill. Memory does not grow with their number. */
export class DrillMeasure {
  readonly #plan: DrillPlan;
  readonly #startMs: number;
  readonly #stepMs: number;
  readonly #all: ByPhase = newPhases();
  readonly #workflows = new Map<string | null, ByPhase>();
  readonly #points: Array<{ blocked: number; others: number; errors: number; latencies: Latencies }> = [];
  readonly #switches = new Latencies();
  #switchMaxMs: number | null = null;
  #blockedAtMs: number | null = null;
  #unblockedAtMs: number | null = null;
  #firstMet: { startMs: number; endMs: number } | null = null;
  #knownBadAtMs: number | null = null;
  #recoveredAtMs: number | null = null;
  #recoveries = 0;
  #relapses = 0;
  #leaks = 0;
  #met = 0;

  constructor(plan: DrillPlan, startMs: number) {
    this.#plan = plan;
    this.#startMs = startMs;
    this.#stepMs = Math.max(1_000, Math.ceil((plan.beforeMs + plan.durationMs + plan.afterMs) / SERIES_POINTS));
  }

  blocked(atMs: number): void {
    this.#blockedAtMs = atMs;
  }

  unblocked(atMs: number): void {
    this.#unblockedAtMs ??= atMs;
  }

  /** The breaker of something that is blocked has opened. */
  opened(target: string, atMs: number): void {
    if (this.#covers(target) && this.#phaseAt(atMs) === "during") this.#knownBadAtMs ??= atMs;
  }

  /** Good answers of what was blocked, since it no longer is. */
  get recoveries(): number {
    return this.#recoveries;
  }

  /** Attempts at what was blocked that failed while it was. */
  get met(): number {
    return this.#met;
  }

  get leaks(): number {
    return this.#leaks;
  }

  request(request: DrillRequest): void {
    const { id, model, workflow, openedAtMs, outcome, attempts } = request;
    if (outcome === "mistake" || outcome === "left" || !this.#isInScope(request)) return;
    const phase = this.#phaseAt(openedAtMs);
    const served = outcome === "ok" ? (attempts.at(-1)?.target ?? null) : null;
    const wasBlocked = served !== null && this.#covers(served);
    for (const counts of [this.#all, this.#ofWorkflow(workflow)]) {
      const one = counts[phase];
      one.requests += 1;
      if (outcome === "error") one.errors += 1;
      else one.latencies.add(request.durationMs);
      if (served !== null) one.servedBy.set(served, (one.servedBy.get(served) ?? 0) + 1);
    }
    const point = this.#pointAt(openedAtMs + request.durationMs);
    if (outcome === "error") point.errors += 1;
    else {
      point.latencies.add(request.durationMs);
      if (wasBlocked) point.blocked += 1;
      else point.others += 1;
    }
    if (model !== null && isInShare(id, this.#plan.scope.share)) this.#lookForLeaks(attempts);
    this.#learnTimes(attempts);
  }

  /** Null while there are too few requests for a word about it. */
  stopReason(): string | null {
    const { errorRatio, minRequests, p95Ms } = this.#plan.stop;
    const { requests, errors, latencies } = this.#all.during;
    if (requests < minRequests) return null;
    if (errors / requests > errorRatio)
      return `${errors} of ${requests} requests got an error, more than the plan's ${percent(errorRatio)}`;
    const p95 = latencies.percentile(0.95);
    if (p95Ms !== null && p95 !== null && p95 > p95Ms)
      return `requests took ${p95} ms (p95), longer than the plan's ${p95Ms} ms`;
    return null;
  }

  figures(): FiguresByPhase {
    return toFigures(this.#all);
  }

  workflows(): Array<{ workflow: string | null; figures: FiguresByPhase }> {
    return [...this.#workflows].map(([workflow, counts]) => ({ workflow, figures: toFigures(counts) }));
  }

  series(): { startMs: number; stepMs: number; points: SeriesPoint[] } {
    const points = this.#points.map(({ blocked, others, errors, latencies }) => ({
      blocked,
      others,
      errors,
      p95Ms: latencies.percentile(0.95),
    }));
    return { startMs: this.#startMs, stepMs: this.#stepMs, points };
  }

  times(): DrillTimes {
    const met = this.#firstMet;
    return {
      detectMs: met === null ? null : met.endMs - met.startMs,
      knownBadMs: met === null || this.#knownBadAtMs === null ? null : Math.max(0, this.#knownBadAtMs - met.startMs),
      switches: this.#switches.count,
      switchP50Ms: this.#switches.percentile(0.5),
      switchP95Ms: this.#switches.percentile(0.95),
      switchMaxMs: this.#switchMaxMs,
      recoveryMs:
        this.#recoveredAtMs === null || this.#unblockedAtMs === null
          ? null
          : Math.max(0, this.#recoveredAtMs - this.#unblockedAtMs),
      relapses: this.#relapses,
    };
  }

  /** By when the attempt began: a request may have waited in front of the block, or past it. Within one millisecond nobody can tell. */
  #lookForLeaks(attempts: DrillRequest["attempts"]): void {
    const from = this.#blockedAtMs ?? Number.POSITIVE_INFINITY;
    const to = this.#unblockedAtMs ?? Number.POSITIVE_INFINITY;
    for (const { target, ok, startedAtMs } of attempts)
      if (ok && startedAtMs > from && startedAtMs < to && this.#covers(target)) this.#leaks += 1;
  }

  #learnTimes(attempts: DrillRequest["attempts"]): void {
    const met = attempts.find(
      (one) => !one.ok && this.#covers(one.target) && this.#phaseAt(one.startedAtMs) === "during",
    );
    if (met !== undefined) {
      if (this.#firstMet === null || met.startedAtMs < this.#firstMet.startMs)
        this.#firstMet = { startMs: met.startedAtMs, endMs: met.endedAtMs };
      const last = attempts.at(-1);
      if (last?.ok === true && !this.#covers(last.target)) {
        const tookMs = last.startedAtMs - met.startedAtMs;
        this.#switches.add(tookMs);
        this.#switchMaxMs = Math.max(this.#switchMaxMs ?? 0, tookMs);
      }
    }
    for (const one of attempts) {
      if (!this.#covers(one.target)) continue;
      const phase = this.#phaseAt(one.startedAtMs);
      if (phase === "during" && !one.ok) this.#met += 1;
      if (phase !== "after") continue;
      if (one.ok) {
        this.#recoveries += 1;
        this.#recoveredAtMs = Math.min(this.#recoveredAtMs ?? Number.POSITIVE_INFINITY, one.endedAtMs);
      } else if (this.#recoveredAtMs !== null && one.startedAtMs >= this.#recoveredAtMs) this.#relapses += 1;
    }
  }

  #isInScope({ id, model, workflow }: DrillRequest): boolean {
    const { scope } = this.#plan;
    // One that was refused before its model was known counts by its workflow.
    const named = model === null ? { ...scope, models: null } : scope;
    return coversRequest(named, { requestId: id, model: model ?? "", workflow: workflow ?? undefined });
  }

  #covers(label: string): boolean {
    return coversLabel(this.#plan.scope, label);
  }

  #phaseAt(atMs: number): Phase {
    if (this.#blockedAtMs === null || atMs < this.#blockedAtMs) return "before";
    return this.#unblockedAtMs === null || atMs < this.#unblockedAtMs ? "during" : "after";
  }

  #ofWorkflow(workflow: string | null): ByPhase {
    let counts = this.#workflows.get(workflow);
    if (counts === undefined) {
      counts = newPhases();
      if (this.#workflows.size < MAX_WORKFLOWS) this.#workflows.set(workflow, counts);
    }
    return counts;
  }

  #pointAt(atMs: number): { blocked: number; others: number; errors: number; latencies: Latencies } {
    const at = Math.min(SERIES_POINTS * 2, Math.max(0, Math.floor((atMs - this.#startMs) / this.#stepMs)));
    while (this.#points.length <= at)
      this.#points.push({ blocked: 0, others: 0, errors: 0, latencies: new Latencies() });
    return this.#points[at] ?? { blocked: 0, others: 0, errors: 0, latencies: new Latencies() };
  }
}

/** Whether a scope covers `node/NAME` or `provider/NAME`. */
export function coversLabel(scope: DrillPlan["scope"], label: string): boolean {
  const [kind, ...name] = label.split("/");
  return (kind === "node" || kind === "provider") && coversBackend(scope, { kind, name: name.join("/") });
}

function newPhases(): ByPhase {
  const one = (): PhaseCount => ({ requests: 0, errors: 0, latencies: new Latencies(), servedBy: new Map() });
  return { before: one(), during: one(), after: one() };
}

function toFigures({ before, during, after }: ByPhase): FiguresByPhase {
  const one = ({ requests, errors, latencies, servedBy }: PhaseCount): Figures => ({
    requests,
    errors,
    p50Ms: latencies.percentile(0.5),
    p95Ms: latencies.percentile(0.95),
    servedBy: Object.fromEntries(servedBy),
  });
  return { before: one(before), during: one(during), after: one(after) };
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
