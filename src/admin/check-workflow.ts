import { parsePolicy } from "../access/policy.ts";
import { PosternError } from "../errors.ts";
import type { AdminParts } from "./create-context.ts";

/** Rejects with `not_found` where no key and no template has the workflow: a name that is mistyped would do nothing. */
export async function checkWorkflow(
  workflow: string,
  { store, config }: Pick<AdminParts, "store" | "config">,
): Promise<void> {
  const ofKeys = (await store.keys.list()).map(({ policy }) => parsePolicy(policy)?.workflow);
  const ofTemplates = [...config.keyTemplates.values()].map((template) => template.workflow);
  const known = new Set([...ofKeys, ...ofTemplates].filter((name) => name !== undefined));
  if (known.has(workflow)) return;
  throw new PosternError("not_found", {
    message: `No key has the workflow "${workflow}"`,
    hint:
      known.size === 0
        ? "Give keys one: postern keys update KEY --workflow NAME."
        : `Workflows of keys: ${[...known].toSorted().slice(0, 20).join(", ")}.`,
  });
}
