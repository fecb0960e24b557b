import { z } from "zod";
import type { ModelReport } from "../../tunnel/link.ts";
import type { EngineAdapter, EngineIdentity, EngineProbe, EngineState } from "../engine.ts";
import { readyWith, unready } from "../engine-state.ts";
import { isModelName, MAX_MODELS } from "../model-name.ts";
import { nativeOperations } from "../native-operations.ts";
import { plainModel } from "../openai-models.ts";
import { count, readJson, refusalReason, shortText, tryGet } from "../read-answer.ts";

/** `/api/v1/models`, since 0.4.0. */
const currentModel = z.object({
  type: z.string(),
  key: z.string(),
  loaded_instances: z.array(
    z.object({
      id: z.string().nullish().catch(null),
      config: z.object({ context_length: count }).nullish().catch(null),
    }),
  ),
  max_context_length: count,
  size_bytes: count,
  architecture: shortText,
  params_string: shortText,
  quantization: z.object({ name: shortText }).nullish().catch(null),
  capabilities: z
    .object({ vision: z.boolean().nullish(), trained_for_tool_use: z.boolean().nullish() })
    .nullish()
    .catch(null),
});
const currentList = z.object({ models: z.array(z.unknown()) });

/** `/api/v0/models`, since 0.3.6. */
const olderModel = z.object({
  id: z.string(),
  type: z.string(),
  state: z.enum(["loaded", "not-loaded"]),
  max_context_length: count,
  loaded_context_length: count,
  quantization: shortText,
  arch: shortText,
});
const olderList = z.object({ object: z.literal("list"), data: z.array(z.unknown()) });

/** It says its version nowhere. 0.4.0 had this list too, but was the newest for a few days only. */
const VERSION_WITH_CURRENT_LIST = "0.4.1";
const VERSION_WITH_OLDER_LIST = "0.3.6";

/**
 * LM Studio. It has no health endpoint and answers paths that it does not know with 200 and an error object, so that only
 * the shape of its native list counts (reference: engine-apis §1.5).
 */
export const lmStudioAdapter: EngineAdapter = {
  kind: "lm-studio",
  defaultPorts: [1234],
  healthPath: "/v1/models",

  async identify(probe: EngineProbe): Promise<EngineIdentity | null> {
    if (readCurrent(readJson(await tryGet(probe, "/api/v1/models"), currentList)) !== null) {
      return { kind: "lm-studio", version: null, leastVersion: VERSION_WITH_CURRENT_LIST };
    }
    const isOlder = readOlder(readJson(await tryGet(probe, "/api/v0/models"), olderList)) !== null;
    return isOlder ? { kind: "lm-studio", version: null, leastVersion: VERSION_WITH_OLDER_LIST } : null;
  },

  async read(probe: EngineProbe): Promise<EngineState> {
    const listed = await tryGet(probe, "/api/v1/models");
    const models =
      readCurrent(readJson(listed, currentList)) ??
      readOlder(readJson(await tryGet(probe, "/api/v0/models"), olderList));
    if (models === null) return unready(refusalReason(listed));
    return readyWith(models);
  },

  operations: nativeOperations,
  hostHeader: (url: URL) => url.host,
};

/** Null when the list is not LM Studio's: an entry of it without a key is somebody else's. */
function readCurrent(list: z.infer<typeof currentList> | null): ModelReport[] | null {
  if (list === null) return null;
  const models: ModelReport[] = [];
  for (const raw of list.models.slice(0, MAX_MODELS)) {
    const model = currentModel.safeParse(raw);
    if (!model.success) return null;
    if (!isModelName(model.data.key)) continue;
    const [instance] = model.data.loaded_instances;
    const report: ModelReport = {
      ...plainModel(model.data.key),
      loaded: instance !== undefined,
      contextLength: instance?.config?.context_length ?? model.data.max_context_length ?? null,
      sizeBytes: model.data.size_bytes ?? null,
      quantization: model.data.quantization?.name ?? null,
      capabilities: [
        model.data.type === "embedding" ? "embedding" : "completion",
        ...(model.data.capabilities?.vision === true ? ["vision"] : []),
        ...(model.data.capabilities?.trained_for_tool_use === true ? ["tools"] : []),
      ],
      family: model.data.architecture ?? null,
      parameterSize: model.data.params_string ?? null,
    };
    models.push(report, ...instancesOf(report, model.data.loaded_instances));
  }
  return models.slice(0, MAX_MODELS);
}

/** Instances of a model that were loaded under names of their own, with which they can be asked for. */
function instancesOf(report: ModelReport, instances: z.infer<typeof currentModel>["loaded_instances"]): ModelReport[] {
  return instances.flatMap(({ id, config }) =>
    isModelName(id) && id !== report.name
      ? [{ ...report, name: id, parent: report.name, contextLength: config?.context_length ?? report.contextLength }]
      : [],
  );
}

function readOlder(list: z.infer<typeof olderList> | null): ModelReport[] | null {
  if (list === null) return null;
  const models: ModelReport[] = [];
  for (const raw of list.data.slice(0, MAX_MODELS)) {
    const model = olderModel.safeParse(raw);
    if (!model.success) return null;
    if (!isModelName(model.data.id)) continue;
    models.push({
      ...plainModel(model.data.id),
      loaded: model.data.state === "loaded",
      contextLength: model.data.loaded_context_length ?? model.data.max_context_length ?? null,
      quantization: model.data.quantization ?? null,
      capabilities: [
        model.data.type === "embeddings" ? "embedding" : "completion",
        ...(model.data.type === "vlm" ? ["vision"] : []),
      ],
      family: model.data.arch ?? null,
    });
  }
  return models;
}
