import { z } from "zod";
import type { EngineAdapter, EngineIdentity, EngineProbe, EngineState } from "../engine.ts";
import { loading, readyWith, unready } from "../engine-state.ts";
import { describeLoad } from "../load-signals.ts";
import { nativeOperations } from "../native-operations.ts";
import { isOwnedBy, plainModel, readListedModels } from "../openai-models.ts";
import { count, readJson, refusalReason, tryGet } from "../read-answer.ts";

const some = z.int().min(0).nullish().catch(null);
const health = z.object({ slots: count, running: some, queued: some });

/** The engine that Postern brings along: llama.cpp in a child process of the agent. */
export const embeddedAdapter: EngineAdapter = {
  kind: "embedded",
  defaultPorts: [],
  healthPath: "/health",

  async identify(probe: EngineProbe): Promise<EngineIdentity | null> {
    const isOurs = isOwnedBy(readListedModels(await tryGet(probe, "/v1/models")), "postern");
    return isOurs ? { kind: "embedded", version: null } : null;
  },

  async read(probe: EngineProbe): Promise<EngineState> {
    const alive = await tryGet(probe, "/health");
    if (alive?.status === 503) return loading([]);
    if (alive?.status !== 200) return unready(refusalReason(alive));
    const listed = await tryGet(probe, "/v1/models");
    const models = readListedModels(listed);
    if (models === null) return unready(refusalReason(listed));
    const said = readJson(alive, health);
    return readyWith(
      models.map((model) => ({
        ...plainModel(model.id),
        loaded: true,
        contextLength: model.meta?.n_ctx ?? null,
        sizeBytes: model.meta?.size ?? null,
        capabilities: model.meta?.capabilities ?? [],
      })),
      { slots: said?.slots ?? null, load: describeLoad(said?.running ?? null, said?.queued ?? null) },
    );
  },

  operations: nativeOperations,
  hostHeader: (url: URL) => url.host,
};
