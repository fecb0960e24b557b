import { NamedCounts, SlottedCounts } from "../slotted-counts.ts";
import type { Finding } from "./alert-book.ts";
import type { AlertRules, RuleName } from "./rules.ts";

/** Models and targets that are counted apart at one time; requests of others count only in the whole. */
const MAX_NAMES = 200;
/** A value must fall so far below its threshold before what fires is over. */
const HYSTERESIS = 0.9;
/** Edges of the histogram of first tokens: from 10 ms up, each a fifth above the one before, to 10 minutes. */
const EDGES_MS = Array.from({ length: 62 }, (_, index) => 10 * 1.2 ** index);

/** A request that is over. */
export interface TrafficRequest {
  /** Public name; null where it was refused before that was known. */
  model: string | null;
  /** Trouble of ours, of a node or of a provider, and none of the caller's making. */
  isFailure: boolean;
  firstTokenMs: number | null;
}

/** Whether a rule fires for a key now: its threshold is lower then. */
export type IsFiring = (rule: RuleName, key: string) => boolean;

/**
 * What requests and fail-overs of the last minutes say: slow first tokens, failures, targets that requests flee from. Counting is a
 * few additions, and memory does not grow with the traffic.
 */
export class TrafficFindings {
  #rules: AlertRules;
  #counts: Counts;

  constructor(rules: AlertRules) {
    this.#rules = rules;
    this.#counts = countsFor(rules);
  }

  /** Other thresholds from now on. Where a window has another length, counting begins anew. */
  setRules(rules: AlertRules): void {
    const hasOtherWindows = WINDOWED.some((rule) => rules[rule].windowMs !== this.#rules[rule].windowMs);
    if (hasOtherWindows) this.#counts = countsFor(rules);
    this.#rules = rules;
  }

  ended({ model, isFailure, firstTokenMs }: TrafficRequest, monotonicMs: number): void {
    const column = isFailure ? 1 : 0;
    this.#counts.all.add(column, monotonicMs);
    if (model === null) return;
    this.#counts.byModel.add(model, column, monotonicMs);
    if (firstTokenMs !== null) this.#counts.firstTokens.add(model, binOf(firstTokenMs), monotonicMs);
  }

  /** @param from The target that the request left. */
  failover(from: string, monotonicMs: number): void {
    this.#counts.failovers.add(from, 0, monotonicMs);
  }

  *find(isFiring: IsFiring, monotonicMs: number): Generator<Finding> {
    yield* this.#findErrors(isFiring, monotonicMs);
    yield* this.#findSlow(isFiring, monotonicMs);
    yield* this.#findFailovers(isFiring, monotonicMs);
  }

  *#findErrors(isFiring: IsFiring, monotonicMs: number): Generator<Finding> {
    const { threshold, minRequests, windowMs } = this.#rules["error-ratio"];
    const whole = { name: "", sums: this.#counts.all.sums(monotonicMs) };
    for (const { name, sums } of [whole, ...this.#counts.byModel.sums(monotonicMs)]) {
      const [good = 0, failed = 0] = sums;
      const requests = good + failed;
      if (requests < minRequests || failed / requests <= limitOf(threshold, isFiring("error-ratio", name))) continue;
      const what = name === "" ? "requests" : `requests of model ${name}`;
      yield {
        rule: "error-ratio",
        key: name,
        summary: `${failed} of ${requests} ${what} failed within ${inWords(windowMs)}`,
        labels: name === "" ? {} : { model: name },
      };
    }
  }

  *#findSlow(isFiring: IsFiring, monotonicMs: number): Generator<Finding> {
    const { threshold, minRequests, windowMs } = this.#rules["slow-first-token"];
    for (const { name, sums } of this.#counts.firstTokens.sums(monotonicMs)) {
      const requests = sums.reduce((total, count) => total + count, 0);
      if (requests < minRequests) continue;
      const p95Ms = percentile(sums, requests, 0.95);
      if (p95Ms <= limitOf(threshold, isFiring("slow-first-token", name))) continue;
      yield {
        rule: "slow-first-token",
        key: name,
        summary: `The first token of model ${name} takes ${inWords(p95Ms)} (95th percentile of ${requests} requests within ${inWords(windowMs)})`,
        labels: { model: name },
      };
    }
  }

  *#findFailovers(isFiring: IsFiring, monotonicMs: number): Generator<Finding> {
    const { threshold, windowMs } = this.#rules.failovers;
    for (const { name, sums } of this.#counts.failovers.sums(monotonicMs)) {
      const [count = 0] = sums;
      if (count <= limitOf(threshold, isFiring("failovers", name))) continue;
      yield {
        rule: "failovers",
        key: name,
        summary: `${count} requests left ${name} for another target within ${inWords(windowMs)}`,
        labels: { target: name },
      };
    }
  }
}

const WINDOWED = ["error-ratio", "slow-first-token", "failovers"] as const;

interface Counts {
  all: SlottedCounts;
  byModel: NamedCounts;
  firstTokens: NamedCounts;
  failovers: NamedCounts;
}

function countsFor(rules: AlertRules): Counts {
  const errorsMs = rules["error-ratio"].windowMs;
  return {
    all: new SlottedCounts(errorsMs, 2),
    byModel: new NamedCounts(errorsMs, 2, MAX_NAMES),
    firstTokens: new NamedCounts(rules["slow-first-token"].windowMs, EDGES_MS.length + 1, MAX_NAMES),
    failovers: new NamedCounts(rules.failovers.windowMs, 1, MAX_NAMES),
  };
}

/** The threshold, lower while it fires, so that a value at its edge does not make it come and go. */
export function limitOf(threshold: number, isFiring: boolean): number {
  return isFiring ? threshold * HYSTERESIS : threshold;
}

/** `350 ms`, `12.5 s`, `5 min`. */
export function inWords(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 60_000 ? `${Math.round(ms / 100) / 10} s` : `${Math.round(ms / 6_000) / 10} min`;
}

function binOf(ms: number): number {
  const at = EDGES_MS.findIndex((edge) => ms <= edge);
  return at === -1 ? EDGES_MS.length : at;
}

/** Upper edge of the bin in which the percentile is: never less than the truth, and at most a fifth more. */
function percentile(counts: readonly number[], total: number, share: number): number {
  let left = Math.ceil(total * share);
  for (const [at, count] of counts.entries()) {
    left -= count;
    if (left <= 0) return EDGES_MS[at] ?? EDGES_MS.at(-1) ?? 0;
  }
  return 0;
}
