import { z } from "zod";
import type { EngineLoad, ModelReport } from "../../tunnel/link.ts";
import type { EngineAdapter, EngineIdentity, EngineProbe, EngineState, ReadHints } from "../engine.ts";
import { loading, readyWith, unready } from "../engine-state.ts";
import { describeLoad, readLoad } from "../load-signals.ts";
import { nativeOperations } from "../native-operations.ts";
import { isOwnedBy, type ListedModel, plainModel, readListedModels } from "../openai-models.ts";
import { count, parameterSize, readJson, refusalReason, shortText, tryGet } from "../read-answer.ts";

const props = z.object({
  build_info: shortText,
  total_slots: count,
  default_generation_settings: z.object({ n_ctx: count }).nullish().catch(null),
  is_sleeping: z.boolean().nullish().catch(null),
  media_marker: z.string().nullish().catch(null),
});
type Props = z.infer<typeof props>;

const slotList = z.array(z.object({ is_processing: z.boolean() })).max(1024);
/** Beside the OpenAI list stands one for Ollama's clients, and only there are the capabilities. */
const capabilityList = z.object({
  models: z.array(
    z.object({
      name: z.string(),
      capabilities: z
        .array(z.string().regex(/^[\x21-\x7e]{1,32}$/))
        .max(16)
        .nullish()
        .catch(null),
    }),
  ),
});

const LOAD_METRICS = {
  running: ["llamacpp:requests_processing"],
  queued: ["llamacpp:requests_deferred"],
  kvUse: ["llamacpp:kv_cache_usage_ratio"],
} as const;

/** The newest member of `/props` that we know, which packaged builds have too that say no build number (`b0-unknown`). */
const VERSION_WITH_MEDIA_MARKER = "b9000";

/**
 * llama.cpp's llama-server, one model or router mode (reference: engine-apis §1.2; recorded from build 11549).
 *
 * Read here are only paths that neither load a model nor wake a sleeping one: `/health`, `/v1/models` and `/props`, all
 * without a query. `/metrics` and `/slots` would keep a model from sleeping, so they are read only while it works for us.
 */
export const llamaServerAdapter: EngineAdapter = {
  kind: "llama-server",
  defaultPorts: [8080, 9931],
  healthPath: "/health",

  async identify(probe: EngineProbe): Promise<EngineIdentity | null> {
    if (!isOwnedBy(readListedModels(await tryGet(probe, "/v1/models"), nameOf), "llamacpp")) return null;
    const said = readJson(await tryGet(probe, "/props"), props);
    return {
      kind: "llama-server",
      version: said?.build_info ?? null,
      leastVersion: said?.media_marker == null ? null : VERSION_WITH_MEDIA_MARKER,
    };
  },

  async read(probe: EngineProbe, _identity: EngineIdentity, hints?: ReadHints): Promise<EngineState> {
    const health = await tryGet(probe, "/health");
    const listed = await tryGet(probe, "/v1/models");
    const models = readListedModels(listed, nameOf);
    if (health?.status === 503) {
      return loading((models ?? []).map((model) => ({ ...plainModel(model.id), loaded: false })));
    }
    if (health?.status !== 200) return unready(refusalReason(health));
    if (models === null) return unready(refusalReason(listed));
    // Health and list are open to all; only this one tells that the key is wrong.
    const told = await tryGet(probe, "/props");
    if (told?.status === 401) return unready(refusalReason(told));
    const said = readJson(told, props);
    const capabilities = new Map(
      readJson(listed, capabilityList)?.models.map((model) => [nameOf({ id: model.name }), model.capabilities ?? []]),
    );
    if (models.some((model) => model.status != null)) {
      // A model that is being downloaded is not there yet.
      return readyWith(models.filter((model) => model.status?.value !== "downloading").map(routedModel));
    }
    return readyWith(
      models.map((model) => ({ ...onlyModel(model, said), capabilities: capabilities.get(model.id) ?? [] })),
      {
        slots: said?.total_slots ?? null,
        load: hints?.isBusy === true && said?.is_sleeping !== true ? await readOwnLoad(probe) : null,
      },
    );
  },

  operations: nativeOperations,
  hostHeader: (url: URL) => url.host,
};

function onlyModel(model: ListedModel, said: Props | null): ModelReport {
  return {
    ...plainModel(model.id),
    loaded: said?.is_sleeping !== true,
    contextLength: contextOf(model) ?? said?.default_generation_settings?.n_ctx ?? null,
    sizeBytes: model.meta?.size ?? null,
    quantization: model.meta?.ftype ?? null,
    parameterSize: parameterSize(model.meta?.n_params),
  };
}

/** A router starts a process for each model and knows of those that do not run only how it would start them. */
function routedModel(model: ListedModel): ModelReport {
  return {
    ...plainModel(model.id),
    loaded: model.status?.value === "loaded",
    contextLength: contextOf(model) ?? contextArgument(model.status?.args ?? []),
    sizeBytes: model.meta?.size ?? null,
    quantization: model.meta?.ftype ?? null,
    parameterSize: parameterSize(model.meta?.n_params),
  };
}

function contextArgument(args: readonly string[]): number | null {
  const index = args.findLastIndex((word) => word === "--ctx-size" || word === "-c");
  return count.parse(index === -1 ? null : Number(args[index + 1])) ?? null;
}

/** `/metrics` has to be turned on, `/slots` is there unless it was turned off. Its prompts, where a build shows them, are not looked at. */
async function readOwnLoad(probe: EngineProbe): Promise<EngineLoad | null> {
  const load = readLoad(await tryGet(probe, "/metrics"), LOAD_METRICS);
  if (load !== null) return load;
  const slots = readJson(await tryGet(probe, "/slots"), slotList);
  return slots === null ? null : describeLoad(slots.filter((slot) => slot.is_processing).length, null);
}

/** The context that the server runs with, where it says so; what the model was trained with would promise too much. */
function contextOf(model: ListedModel): number | null {
  return model.meta?.n_ctx ?? null;
}

/**
 * Without `--alias` a server with one model names it by its file's path, and takes any name in a request. The folder is
 * nobody's business, so the file's own name is used. A router (its entries have a status) needs the whole id.
 */
function nameOf(model: Pick<ListedModel, "id" | "status">): string {
  if (model.status != null || !/\.gguf$/i.test(model.id)) return model.id;
  return model.id.replace(/^.*[/\\]/, "").replace(/\.gguf$/i, "");
}
