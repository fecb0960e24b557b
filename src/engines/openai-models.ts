import { z } from "zod";
import type { ModelReport } from "../tunnel/link.ts";
import type { ProbeAnswer } from "./engine.ts";
import { isModelName, MAX_MODELS } from "./model-name.ts";
import { count, readJson, shortText } from "./read-answer.ts";

/** Most command line arguments of a router's model that are looked at. */
const MAX_ROUTER_ARGUMENTS = 512;

const entry = z.object({
  id: z.string(),
  owned_by: shortText,
  max_model_len: count,
  /** Of a LoRA adapter (vLLM). */
  parent: z.string().nullish().catch(null),
  meta: z
    .object({
      n_ctx: count,
      n_params: count,
      size: count,
      ftype: shortText,
      capabilities: z
        .array(z.string().regex(/^[\x21-\x7e]{1,32}$/))
        .max(16)
        .nullish()
        .catch(null),
    })
    .nullish()
    .catch(null),
  /** Of a router's model (llama-server). */
  status: z
    .object({
      value: shortText,
      args: z.array(z.string()).max(MAX_ROUTER_ARGUMENTS).nullish().catch(null),
    })
    .nullish()
    .catch(null),
});

const list = z.object({ data: z.array(z.unknown()) });

/** One entry of an engine's `/v1/models`, with the fields that engines add. */
export type ListedModel = z.infer<typeof entry>;

/**
 * Reads a `/v1/models` answer; null when it is not one. Entries without a usable name are left out.
 *
 * @param nameOf What to call an entry, where its id is not fit for that. Default: its id.
 */
export function readListedModels(
  answer: ProbeAnswer | null,
  nameOf: (model: ListedModel) => string = (model) => model.id,
): ListedModel[] | null {
  const body = readJson(answer, list);
  if (body === null) return null;
  const models: ListedModel[] = [];
  for (const raw of body.data.slice(0, MAX_MODELS)) {
    const model = entry.safeParse(raw);
    if (!model.success) continue;
    const name = nameOf(model.data);
    if (isModelName(name)) models.push({ ...model.data, id: name });
  }
  return models;
}

/** Whether the list says that this kind of server wrote it, in every entry. */
export function isOwnedBy(models: ListedModel[] | null, owner: string): boolean {
  return models !== null && models.length > 0 && models.every((model) => model.owned_by === owner);
}

/** A report with nothing known but the name. */
export function plainModel(name: string): ModelReport {
  return {
    name,
    loaded: null,
    contextLength: null,
    sizeBytes: null,
    quantization: null,
    capabilities: [],
    remote: false,
    family: null,
    parameterSize: null,
    parent: null,
  };
}
