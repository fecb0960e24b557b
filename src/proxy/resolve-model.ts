import type { CompiledPolicy } from "../access/compiled-policy.ts";
import { modelNotFoundMessage } from "../dialects/error-body.ts";
import { ollamaNameVariants } from "../dialects/ollama/model-names.ts";
import { PosternError } from "../errors.ts";
import type { Catalogue, CatalogueEntry } from "./target.ts";

/** Those of the key and of the endpoint; what one forbids is forbidden. The key's comes first where they only prefer. */
export type Policies = readonly [key: CompiledPolicy, endpoint: CompiledPolicy];

/**
 * Step 7: from the name that the caller wrote to the model, with the policy of key and endpoint applied to the name after
 * resolution. A model that does not exist and one that may not be used look the same.
 *
 * @throws PosternError `model_not_found`, naming what the key may use.
 */
export function resolveModel(name: string, policies: Policies, catalogue: Catalogue): CatalogueEntry {
  const entry = catalogue.find(name) ?? findVariant(name, catalogue) ?? catalogue.match(name);
  if (entry !== undefined && policies.every((policy) => policy.mayUseModel(entry.name))) return entry;
  const usable = visibleModels(policies, catalogue).map((one) => one.name);
  throw new PosternError("model_not_found", { message: modelNotFoundMessage(name, usable), param: "model" });
}

/** What a key sees in lists at an endpoint. */
export function visibleModels(policies: Policies, catalogue: Catalogue): CatalogueEntry[] {
  const visible: CatalogueEntry[] = [];
  for (const entry of catalogue.list()) {
    if (policies.every((policy) => policy.mayUseModel(entry.name))) visible.push(entry);
  }
  return visible;
}

/** Ollama's names stand for each other: `llama3` and `llama3:latest`. Whatever dialect asks, the model is the same one. */
function findVariant(name: string, catalogue: Catalogue): CatalogueEntry | undefined {
  for (const variant of ollamaNameVariants(name)) {
    const entry = variant === name ? undefined : catalogue.find(variant);
    if (entry !== undefined) return entry;
  }
  return undefined;
}
