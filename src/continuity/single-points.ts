import type { CompiledPolicy, PolicyTarget } from "../access/compiled-policy.ts";

/** A target as far as its loss matters. */
export interface ReviewTarget extends PolicyTarget {
  /** `node/NAME` or `provider/NAME`. */
  label: string;
  /** Whether it can take a request now. What cannot is no help to anybody. */
  isReady: boolean;
  /** Reached over a link of an agent. */
  isTunnelled: boolean;
}

export interface ReviewModel {
  model: string;
  targets: readonly ReviewTarget[];
}

/** What becomes of keys when something is away. */
export interface Loss {
  /** `node/NAME`, `provider/NAME`, `every link`, `every provider`, `the gateway`. */
  what: string;
  /** Labels of targets that could serve then. */
  left: string[];
  /** Keys that are served then, that must wait for an approval, and that are refused although they are served now. */
  served: number;
  waiting: number;
  refused: number;
}

export interface ModelReview {
  model: string;
  targets: Array<{ label: string; isReady: boolean }>;
  /** Keys that may use it, and that somebody serves now. */
  keys: number;
  losses: Loss[];
  /** Of `losses`, what nobody may stand in for, for some key: its single points of failure. */
  singlePoints: string[];
}

/**
 * For each model, what is lost when one thing is away: who could serve then, and for how many keys their policy lets them.
 *
 * Policies of endpoints are left out: they may forbid more.
 */
export function reviewModels(models: readonly ReviewModel[], policies: readonly CompiledPolicy[]): ModelReview[] {
  // Keys of equal policies share one, so that thousands of them are few questions.
  const counts = new Map<CompiledPolicy, number>();
  for (const policy of policies) counts.set(policy, (counts.get(policy) ?? 0) + 1);
  return models.map((model) => reviewModel(model, counts));
}

function reviewModel({ model, targets }: ReviewModel, counts: ReadonlyMap<CompiledPolicy, number>): ModelReview {
  const ready = targets.filter(({ isReady }) => isReady);
  const users = [...counts].filter(([policy]) => policy.mayUseModel(model) && standing(policy, ready) !== "refused");
  const losses: Loss[] = [];
  function lose(what: string, isLost: (target: ReviewTarget) => boolean): void {
    if (!ready.some(isLost)) return;
    const left = ready.filter((target) => !isLost(target));
    const loss: Loss = { what, left: labelsOf(left), served: 0, waiting: 0, refused: 0 };
    for (const [policy, count] of users) loss[standing(policy, left)] += count;
    losses.push(loss);
  }
  for (const label of labelsOf(ready)) lose(label, (target) => target.label === label);
  lose("every link", ({ isTunnelled }) => isTunnelled);
  lose("every provider", ({ backend }) => backend.kind === "provider");
  lose("the gateway", () => true);
  return {
    model,
    targets: labelsOf(targets).map((label) => ({ label, isReady: ready.some((target) => target.label === label) })),
    keys: users.reduce((sum, [, count]) => sum + count, 0),
    losses,
    singlePoints: losses.filter(({ left, refused }) => refused > 0 || left.length === 0).map(({ what }) => what),
  };
}

/** What a request of such a key meets, where only these are there. */
function standing(policy: CompiledPolicy, targets: readonly ReviewTarget[]): "served" | "waiting" | "refused" {
  const open = targets.filter((target) => policy.mayReach(target) && (policy.mayLeave || !target.leaves));
  if (open.length === 0) return "refused";
  return open.some((target) => !policy.needsApproval(target)) ? "served" : "waiting";
}

function labelsOf(targets: readonly ReviewTarget[]): string[] {
  return [...new Set(targets.map(({ label }) => label))];
}
