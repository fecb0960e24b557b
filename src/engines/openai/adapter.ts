import type { EngineAdapter, EngineIdentity, EngineProbe, EngineState } from "../engine.ts";
import { plainModel, readListedModels } from "../openai-models.ts";
import { OPENAI_OPERATIONS } from "../openai-operations.ts";
import { refusalReason, tryGet } from "../read-answer.ts";

/** Any server that lists its models as OpenAI does. Asked last, because all others do so too. */
export const openaiAdapter: EngineAdapter = {
  kind: "openai",
  defaultPorts: [],

  async identify(probe: EngineProbe): Promise<EngineIdentity | null> {
    const models = readListedModels(await tryGet(probe, "/v1/models"));
    return models === null || models.length === 0 ? null : { kind: "openai", version: null };
  },

  async read(probe: EngineProbe): Promise<EngineState> {
    const listed = await tryGet(probe, "/v1/models");
    const models = readListedModels(listed);
    if (models === null) return { ready: false, reason: refusalReason(listed), models: [], slots: null };
    return { ready: true, reason: null, slots: null, models: models.map((model) => plainModel(model.id)) };
  },

  operations: () => OPENAI_OPERATIONS,
  hostHeader: (url: URL) => url.host,
};
