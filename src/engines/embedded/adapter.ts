import { z } from "zod";
import type { EngineAdapter, EngineIdentity, EngineProbe, EngineState } from "../engine.ts";
import { isOwnedBy, plainModel, readListedModels } from "../openai-models.ts";
import { OPENAI_OPERATIONS } from "../openai-operations.ts";
import { count, readJson, refusalReason, tryGet } from "../read-answer.ts";

const health = z.object({ slots: count });

/** The engine that Postern brings along: llama.cpp in a child process of the agent. */
export const embeddedAdapter: EngineAdapter = {
  kind: "embedded",
  defaultPorts: [],

  async identify(probe: EngineProbe): Promise<EngineIdentity | null> {
    const isOurs = isOwnedBy(readListedModels(await tryGet(probe, "/v1/models")), "postern");
    return isOurs ? { kind: "embedded", version: null } : null;
  },

  async read(probe: EngineProbe): Promise<EngineState> {
    const alive = await tryGet(probe, "/health");
    if (alive?.status !== 200) return { ready: false, reason: refusalReason(alive), models: [], slots: null };
    const listed = await tryGet(probe, "/v1/models");
    const models = readListedModels(listed);
    if (models === null) return { ready: false, reason: refusalReason(listed), models: [], slots: null };
    return {
      ready: true,
      reason: null,
      slots: readJson(alive, health)?.slots ?? null,
      models: models.map((model) => ({
        ...plainModel(model.id),
        loaded: true,
        contextLength: model.meta?.n_ctx ?? null,
        sizeBytes: model.meta?.size ?? null,
        capabilities: model.meta?.capabilities ?? [],
      })),
    };
  },

  operations: () => OPENAI_OPERATIONS,
  hostHeader: (url: URL) => url.host,
};
