import type { CheckFacts } from "../../continuity/drill/checks.ts";
import { coversBackend } from "../../continuity/drill/fault.ts";
import type { DrillPlan } from "../../continuity/drill/plan.ts";
import { isListed } from "../../lib/glob.ts";
import type { CatalogueEntry, Target } from "../../proxy/target.ts";
import { hasWorkflow } from "./drill-keys.ts";
import type { DrillParts } from "./drill-parts.ts";

/** What is true now of all that a plan needs. @param running Id of the drill that runs, or null. */
export async function readFacts(plan: DrillPlan, parts: DrillParts, running: string | null): Promise<CheckFacts> {
  const { clock, catalogue, keyring } = parts;
  const nowMs = clock.nowMs();
  const prompts = plan.traffic.kind === "synthetic" ? plan.traffic.prompts : [];
  const asked = new Map(prompts.map(({ model }) => [model, catalogue.find(model) ?? catalogue.match(model)]));
  const workflows = new Set(prompts.flatMap(({ workflow }) => (workflow === null ? [] : [workflow])));
  return {
    nowMs,
    running,
    contingency: parts.contingency(),
    blocked: groupByLabel(blockedTargets(plan, parts.targets())),
    models: entriesOf(plan, parts, [...asked.values()]).map(({ name, targets }) => ({
      name,
      others: groupByLabel(targets.filter(({ backend }) => !coversBackend(plan.scope, backend))),
    })),
    unknownModels: [...asked].flatMap(([model, entry]) => (entry === undefined ? [model] : [])),
    unknownWorkflows: [...workflows].filter((workflow) => !hasWorkflow(keyring, workflow, nowMs)),
    storeTrouble: parts.storeTrouble(),
    systemTrouble: plan.block === "system" ? await parts.system.trouble() : null,
  };
}

/** Targets that a plan blocks. */
export function blockedTargets({ scope }: DrillPlan, targets: Iterable<Target>): Target[] {
  return [...targets].filter(({ backend }) => coversBackend(scope, backend));
}

/** The models that the drill is about and that lose a target: those that the plan names or asks, else all. */
function entriesOf(
  { scope }: DrillPlan,
  { catalogue }: DrillParts,
  asked: ReadonlyArray<CatalogueEntry | undefined>,
): CatalogueEntry[] {
  const known = asked.filter((entry) => entry !== undefined);
  const all = scope.models === null && known.length > 0 ? known : [...catalogue.list()];
  return all.filter(
    ({ name, targets }) => isListed(scope.models, name) && targets.some(({ backend }) => coversBackend(scope, backend)),
  );
}

function groupByLabel(targets: readonly Target[]): Array<{ label: string; isReady: boolean }> {
  const groups = Map.groupBy(targets, ({ backend }) => backend.label);
  return [...groups].map(([label, ofLabel]) => ({ label, isReady: ofLabel.some((target) => target.canAccept()) }));
}
