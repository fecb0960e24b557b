import type { CompiledPolicy } from "../access/compiled-policy.ts";
import type { Endpoint } from "../access/endpoint.ts";
import { modelNotFoundMessage } from "../dialects/error-body.ts";
import { ollamaNameVariants } from "../dialects/ollama/model-names.ts";
import { PosternError } from "../errors.ts";
import { isListed } from "../lib/glob.ts";
import type { Catalogue, CatalogueEntry } from "./target.ts";

/**
 * Step 7: from the name that the caller wrote to the model, with the policy of key and endpoint applied to the name after
 * resolution. A model that does not exist and one that may not be used look the same.
 *
 * @throws PosternError `model_not_found`, naming what the key may use.
 */
export function resolveModel(
  name: string,
  policy: CompiledPolicy,
  endpoint: Endpoint,
  catalogue: Catalogue,
): CatalogueEntry {
  const entry = catalogue.find(name) ?? findVariant(name, catalogue) ?? catalogue.match(name);
  if (entry !== undefined && mayUse(entry, policy, endpoint)) return entry;
  const usable = visibleModels(policy, endpoint, catalogue).map((one) => one.name);
  throw new PosternError("model_not_found", { message: modelNotFoundMessage(name, usable), param: "model" });
}

/** What a key sees in lists at an endpoint. */
export function visibleModels(policy: CompiledPolicy, endpoint: Endpoint, catalogue: Catalogue): CatalogueEntry[] {
  const visible: CatalogueEntry[] = [];
  for (const entry of catalogue.list()) if (mayUse(entry, policy, endpoint)) visible.push(entry);
  return visible;
}

function mayUse({ name }: CatalogueEntry, policy: CompiledPolicy, endpoint: Endpoint): boolean {
  return policy.mayUseModel(name) && isListed(endpoint.models, name);
}

/** Ollama's names stand for each other: `llama3` and `llama3:latest`. Whatever dialect asks, the model is the same one. */
function findVariant(name: string, catalogue: Catalogue): CatalogueEntry | undefined {
  for (const variant of ollamaNameVariants(name)) {
    const entry = variant === name ? undefined : catalogue.find(variant);
    if (entry !== undefined) return entry;
  }
  return undefined;
}
