import type { EngineAdapter, EngineIdentity, EngineProbe, EngineState } from "../engine.ts";
import { readyWith, unready } from "../engine-state.ts";
import { nativeOperations } from "../native-operations.ts";
import { plainModel, readListedModels } from "../openai-models.ts";
import { refusalReason, tryGet } from "../read-answer.ts";

/** Any server that lists its models as OpenAI does. Asked last, because all others do so too. */
export const openaiAdapter: EngineAdapter = {
  kind: "openai",
  defaultPorts: [],
  healthPath: "/v1/models",

  async identify(probe: EngineProbe): Promise<EngineIdentity | null> {
    const models = readListedModels(await tryGet(probe, "/v1/models"));
    return models === null || models.length === 0 ? null : { kind: "openai", version: null };
  },

  async read(probe: EngineProbe): Promise<EngineState> {
    const listed = await tryGet(probe, "/v1/models");
    const models = readListedModels(listed);
    if (models === null) return unready(refusalReason(listed));
    return readyWith(models.map((model) => plainModel(model.id)));
  },

  operations: nativeOperations,
  hostHeader: (url: URL) => url.host,
};
