import type { ModelView } from "../admin/contract-models.ts";
import type { LiveEntry } from "./catalogue-entry.ts";

/** What the catalogue knows, for its view. */
export interface CatalogueFacts {
  entries: Iterable<LiveEntry>;
  /** Names that nodes report and may not serve. */
  offered: readonly string[];
  /** Names of the configuration of which nobody offers a target. */
  unserved: readonly string[];
  isAlias(name: string): boolean;
  isRequired(name: string): boolean;
}

/** Every public name with what operators see of it: kind, reasons, sizes, and how requests are shared out. */
export function viewModels({ entries, offered, unserved, isAlias, isRequired }: CatalogueFacts): ModelView[] {
  const views = Array.from(entries, ({ name, targets, routing }): ModelView => {
    const isWeighted = routing.strategy === "weighted";
    return {
      name,
      ready: targets.some((target) => target.canAccept() && (!isWeighted || routing.weightOf(target.id) > 0)),
      source: isAlias(name) ? "alias" : (targets[0]?.backend.kind ?? "node"),
      required: isRequired(name),
      strategy: routing.strategy,
      operations: [...new Set(targets.flatMap((target) => [...target.operations]))],
      targets: targets.map((target) => ({
        ...target.view(),
        id: target.id,
        weight: isWeighted ? routing.weightOf(target.id) : null,
      })),
    };
  });
  const known = new Set(views.map((view) => view.name));
  for (const name of new Set(offered)) if (!known.has(name)) views.push({ ...nowhere(name), source: "offered" });
  for (const name of unserved) views.push({ ...nowhere(name), required: isRequired(name) });
  return views;
}

function nowhere(name: string): ModelView {
  return { name, ready: false, source: "alias", required: false, strategy: "least-busy", operations: [], targets: [] };
}
