import { z } from "zod";
import type { EngineAdapter, EngineIdentity, EngineProbe, EngineState } from "../engine.ts";
import { readyWith, unready } from "../engine-state.ts";
import { readLoad } from "../load-signals.ts";
import { nativeOperations } from "../native-operations.ts";
import { plainModel, readListedModels } from "../openai-models.ts";
import { readJson, refusalReason, shortText, tryGet } from "../read-answer.ts";

const modelInfo = z.object({ model_path: z.string(), is_generation: z.boolean().nullish().catch(null) });
const serverInfo = z.object({ version: shortText });

const LOAD_METRICS = {
  running: ["sglang:num_running_reqs"],
  queued: ["sglang:num_queue_reqs"],
  kvUse: ["sglang:token_usage"],
} as const;

/** SGLang. Asked before Ollama, whose lists it imitates (reference: engine-apis §1.4, §1.6). */
export const sglangAdapter: EngineAdapter = {
  kind: "sglang",
  defaultPorts: [30000],
  healthPath: "/v1/models",

  async identify(probe: EngineProbe): Promise<EngineIdentity | null> {
    if (readJson(await tryGet(probe, "/get_model_info"), modelInfo) === null) return null;
    const info = readJson(await tryGet(probe, "/get_server_info"), serverInfo);
    return { kind: "sglang", version: info?.version ?? null };
  },

  // Never `/health`: unless SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION is off, it runs a generation as `/health_generate` does.
  async read(probe: EngineProbe): Promise<EngineState> {
    const listed = await tryGet(probe, "/v1/models");
    const models = readListedModels(listed);
    if (models === null) return unready(refusalReason(listed));
    const info = readJson(await tryGet(probe, "/get_model_info"), modelInfo);
    const capabilities = info?.is_generation === false ? ["embedding"] : info?.is_generation ? ["completion"] : [];
    return readyWith(
      models.map((model) => ({
        ...plainModel(model.id),
        loaded: true,
        contextLength: model.max_model_len ?? null,
        capabilities,
        parent: model.parent ?? null,
      })),
      // There only with --enable-metrics.
      { load: readLoad(await tryGet(probe, "/metrics"), LOAD_METRICS) },
    );
  },

  operations: nativeOperations,
  hostHeader: (url: URL) => url.host,
};
