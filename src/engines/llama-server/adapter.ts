import { z } from "zod";
import type { EngineAdapter, EngineIdentity, EngineProbe, EngineState } from "../engine.ts";
import { isOwnedBy, type ListedModel, plainModel, readListedModels } from "../openai-models.ts";
import { OPENAI_OPERATIONS } from "../openai-operations.ts";
import { count, readJson, refusalReason, shortText, tryGet } from "../read-answer.ts";

const props = z.object({
  build_info: shortText,
  total_slots: count,
  default_generation_settings: z.object({ n_ctx: count }).nullish().catch(null),
  is_sleeping: z.boolean().nullish().catch(null),
});

/**
 * llama.cpp's llama-server, one model or router mode (reference: engine-apis §1.2).
 *
 * Read here are only paths that neither load a model nor wake a sleeping one: `/health`, `/v1/models` and `/props`, all
 * without a query. Never `/slots`, which shows prompts.
 */
export const llamaServerAdapter: EngineAdapter = {
  kind: "llama-server",
  defaultPorts: [8080, 9931],

  async identify(probe: EngineProbe): Promise<EngineIdentity | null> {
    if (!isOwnedBy(readListedModels(await tryGet(probe, "/v1/models"), nameOf), "llamacpp")) return null;
    const said = readJson(await tryGet(probe, "/props"), props);
    return { kind: "llama-server", version: said?.build_info ?? null };
  },

  async read(probe: EngineProbe): Promise<EngineState> {
    const health = await tryGet(probe, "/health");
    const listed = await tryGet(probe, "/v1/models");
    const models = readListedModels(listed, nameOf);
    if (health?.status === 503) return { ready: false, reason: "it is loading its model", models: [], slots: null };
    if (health?.status !== 200) return { ready: false, reason: refusalReason(health), models: [], slots: null };
    if (models === null) return { ready: false, reason: refusalReason(listed), models: [], slots: null };
    // Health and list are open to all; only this one tells that the key is wrong.
    const told = await tryGet(probe, "/props");
    if (told?.status === 401) return { ready: false, reason: refusalReason(told), models: [], slots: null };
    const said = readJson(told, props);
    const isRouter = models.some((model) => model.status != null);
    return {
      ready: true,
      reason: null,
      slots: isRouter ? null : (said?.total_slots ?? null),
      models: models.map((model) => ({
        ...plainModel(model.id),
        loaded: isRouter ? model.status?.value === "loaded" : said?.is_sleeping !== true,
        contextLength: contextOf(model) ?? (isRouter ? null : (said?.default_generation_settings?.n_ctx ?? null)),
        sizeBytes: model.meta?.size ?? null,
      })),
    };
  },

  operations: () => OPENAI_OPERATIONS,
  hostHeader: (url: URL) => url.host,
};

/** The context that the server runs with, where it says so; what the model was trained with would promise too much. */
function contextOf(model: ListedModel): number | null {
  return model.meta?.n_ctx ?? null;
}

/**
 * Without `--alias` a server with one model names it by its file's path, and takes any name in a request. The folder is
 * nobody's business, so the file's own name is used. A router (its entries have a status) needs the whole id.
 */
function nameOf(model: ListedModel): string {
  if (model.status != null || !/\.gguf$/i.test(model.id)) return model.id;
  return model.id.replace(/^.*[/\\]/, "").replace(/\.gguf$/i, "");
}
