import { z } from "zod";
import type { EngineAdapter, EngineIdentity, EngineProbe, EngineState } from "../engine.ts";
import { isOwnedBy, plainModel, readListedModels } from "../openai-models.ts";
import { OPENAI_OPERATIONS } from "../openai-operations.ts";
import { readJson, refusalReason, tryGet } from "../read-answer.ts";

const version = z.object({ version: z.string().regex(/^[\x21-\x7e]{1,64}$/) });
/** What vLLM answers without its key: a plain string where others put an object. */
const unauthorized = z.object({ error: z.literal("Unauthorized") });

/** vLLM. One base model a process, always loaded, besides LoRA names (reference: engine-apis §1.3). */
export const vllmAdapter: EngineAdapter = {
  kind: "vllm",
  defaultPorts: [8000],

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
    if (health?.status !== 200) return { ready: false, reason: refusalReason(health), models: [], slots: null };
    const listed = await tryGet(probe, "/v1/models");
    const models = readListedModels(listed);
    if (models === null) return { ready: false, reason: refusalReason(listed), models: [], slots: null };
    return {
      ready: true,
      reason: null,
      slots: null,
      models: models.map((model) => ({
        ...plainModel(model.id),
        loaded: true,
        contextLength: model.max_model_len ?? null,
      })),
    };
  },

  operations: () => OPENAI_OPERATIONS,
  hostHeader: (url: URL) => url.host,
};
