import type { WaitingApproval } from "../approvals.ts";
import type { ScopeView } from "../contingency-state.ts";
import type { Finding } from "./alert-book.ts";
import { type IsFiring, limitOf } from "./traffic-findings.ts";

const DAY_MS = 86_400_000;

export function* findContingency(scopes: readonly ScopeView[]): Generator<Finding> {
  for (const { workflow, state, causes } of scopes) {
    if (state !== "contingency") continue;
    const reasons = causes.map(({ cause, reason }) => `${cause}: ${reason}`).join("; ");
    const scope = workflow === null ? "" : ` for workflow ${workflow}`;
    yield {
      rule: "contingency",
      key: workflow ?? "",
      summary: `Contingency is on${scope} (${reasons})`,
      labels: workflow === null ? {} : { workflow },
    };
  }
}

/** One finding per workflow or key, however many of its requests wait. */
export function* findWaitingApprovals(waiting: readonly WaitingApproval[]): Generator<Finding> {
  for (const [scope, requests] of Map.groupBy(waiting, (one) => one.scope)) {
    const [first] = requests;
    if (first === undefined) continue;
    const to = first.to === "cloud" ? "leave for a provider" : "go to your own machines";
    const asked = requests.length === 1 ? "A request waits" : `${requests.length} requests wait`;
    yield {
      rule: "approval-waiting",
      key: scope,
      summary: `${asked} for an approval to ${to} (${scope}, model ${first.model})`,
      labels: { scope },
    };
  }
}

/** A certificate of a listener. */
export interface CertificateReading {
  listener: string;
  names: readonly string[];
  /** Null: there is none yet. */
  notAfterMs: number | null;
  /** Why the last attempt to renew it failed. */
  problem: string | null;
}

export function* findEndingCertificates(
  certificates: Iterable<CertificateReading>,
  withinMs: number,
  nowMs: number,
): Generator<Finding> {
  for (const { listener, names, notAfterMs, problem } of certificates) {
    if (notAfterMs === null || notAfterMs - nowMs >= withinMs) continue;
    const name = names[0] ?? listener;
    const days = Math.floor((notAfterMs - nowMs) / DAY_MS);
    const when = notAfterMs <= nowMs ? "has ended" : days < 1 ? "ends within a day" : `ends in ${days} days`;
    yield {
      rule: "certificate",
      key: `${listener} ${name}`,
      summary: `The certificate for ${name} ${when}${problem === null ? "" : `; it was not renewed: ${problem}`}`,
      labels: { listener, name },
      ...(notAfterMs - nowMs < DAY_MS ? { severity: "critical" as const } : {}),
    };
  }
}

/** What somebody used of a budget. */
export interface BudgetReading {
  /** A key or a provider. */
  owner: string;
  kind: "key" | "provider";
  /** Like `tokensPerDay`. */
  budget: string;
  spent: number;
  /** Null: it has no such edge. */
  soft: number | null;
  hard: number | null;
}

export function* findBudgets(budgets: Iterable<BudgetReading>, share: number): Generator<Finding> {
  for (const { owner, kind, budget, spent, soft, hard } of budgets) {
    const isNearHard = hard !== null && spent >= hard * share;
    const isAtSoft = soft !== null && spent >= soft;
    if (!isNearHard && !isAtSoft) continue;
    const edge = hard ?? soft ?? 0;
    const used = edge === 0 ? 100 : Math.floor((spent / edge) * 100);
    const which = hard === null ? "soft edge of its budget" : "budget";
    yield {
      rule: "budget",
      key: `${kind} ${owner} ${budget}`,
      summary: `${kind === "key" ? "Key" : "Provider"} ${owner} used ${used}% of the ${which} ${budget}`,
      labels: { [kind]: owner, budget },
    };
  }
}

/** Trouble of what is written down, in words; null where there is none. */
export interface StoreReading {
  store: string | null;
  journal: string | null;
}

export function* findStoreTrouble({ store, journal }: StoreReading): Generator<Finding> {
  if (store !== null) yield { rule: "store", key: "store", summary: `The store is in trouble: ${store}`, labels: {} };
  if (journal !== null) {
    yield { rule: "store", key: "journal", summary: `Usage records are not written: ${journal}`, labels: {} };
  }
}

/** Requests that wait, of all models together. */
export function* findDeepQueue(
  queues: Iterable<{ model: string; depth: number }>,
  threshold: number,
  isFiring: IsFiring,
): Generator<Finding> {
  const deepest = [...queues].sort((a, b) => b.depth - a.depth);
  const waiting = deepest.reduce((sum, { depth }) => sum + depth, 0);
  if (waiting <= limitOf(threshold, isFiring("queue-depth", ""))) return;
  const most = deepest[0] === undefined ? "" : `, most of them for model ${deepest[0].model}`;
  yield { rule: "queue-depth", key: "", summary: `${waiting} requests wait for a slot${most}`, labels: {} };
}
