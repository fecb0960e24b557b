import { z } from "zod";
import type { EngineAdapter, EngineIdentity, EngineProbe, EngineState } from "../engine.ts";
import { readyWith, unready } from "../engine-state.ts";
import { readLoad } from "../load-signals.ts";
import { nativeOperations } from "../native-operations.ts";
import { isOwnedBy, plainModel, readListedModels } from "../openai-models.ts";
import { readJson, refusalReason, tryGet } from "../read-answer.ts";

const version = z.object({ version: z.string().regex(/^[\x21-\x7e]{1,64}$/) });
/** What vLLM answers without its key: a plain string where others put an object. */
const unauthorized = z.object({ error: z.literal("Unauthorized") });

/** In each of the engines of a data-parallel server; `gpu_cache_usage_perc` until 0.10. */
const LOAD_METRICS = {
  running: ["vllm:num_requests_running"],
  queued: ["vllm:num_requests_waiting"],
  kvUse: ["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"],
} as const;

/** vLLM. One base model a process, always loaded, besides LoRA names (reference: engine-apis §1.3). */
export const vllmAdapter: EngineAdapter = {
  kind: "vllm",
  defaultPorts: [8000],
  healthPath: "/health",

  async identify(probe: EngineProbe): Promise<EngineIdentity | null> {
    const said = readJson(await tryGet(probe, "/version"), version);
    if (said === null) return null;
    const listed = await tryGet(probe, "/v1/models");
    const isLocked = listed?.status === 401 && unauthorized.safeParse(listed.json()).success;
    if (!isLocked && !isOwnedBy(readListedModels(listed), "vllm")) return null;
    return { kind: "vllm", version: said.version };
  },

  async read(probe: EngineProbe): Promise<EngineState> {
    const health = await tryGet(probe, "/health");
    if (health?.status !== 200) return unready(refusalReason(health));
    const listed = await tryGet(probe, "/v1/models");
    const models = readListedModels(listed);
    if (models === null) return unready(refusalReason(listed));
    const contexts = new Map(models.map((model) => [model.id, model.max_model_len ?? null]));
    return readyWith(
      models.map((model) => ({
        ...plainModel(model.id),
        loaded: true,
        // An adapter has the window of the model that it changes.
        contextLength: model.max_model_len ?? contexts.get(model.parent ?? "") ?? null,
        parent: contexts.has(model.parent ?? "") ? (model.parent ?? null) : null,
      })),
      { load: readLoad(await tryGet(probe, "/metrics"), LOAD_METRICS) },
    );
  },

  operations: nativeOperations,
  hostHeader: (url: URL) => url.host,
};
