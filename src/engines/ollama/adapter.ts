import { z } from "zod";
import type { EngineAdapter, EngineIdentity, EngineProbe, EngineState } from "../engine.ts";
import { readyWith, unready } from "../engine-state.ts";
import { plainHostHeader } from "../engine-url.ts";
import { isModelName, MAX_MODELS } from "../model-name.ts";
import { nativeOperations } from "../native-operations.ts";
import { plainModel } from "../openai-models.ts";
import { count, readJson, refusalReason, shortText, tryGet } from "../read-answer.ts";

const version = z.object({ version: z.string().regex(/^[\x21-\x7e]{1,64}$/) });

const installed = z.object({
  name: z.string(),
  size: count,
  remote_host: z.string().nullish().catch("unreadable"),
  remote_model: z.string().nullish().catch("unreadable"),
  details: z
    .object({ quantization_level: shortText, family: shortText, parameter_size: shortText })
    .nullish()
    .catch(null),
  capabilities: z
    .array(z.string().regex(/^[\x21-\x7e]{1,32}$/))
    .max(16)
    .nullish()
    .catch(null),
});
const loaded = z.object({ name: z.string(), context_length: count });
const list = z.object({ models: z.array(z.unknown()).nullish() });

/** Ollama. Its native lists, because only they tell what is loaded and what is somebody else's (reference: engine-apis §1.1). */
export const ollamaAdapter: EngineAdapter = {
  kind: "ollama",
  defaultPorts: [11434],
  healthPath: "/api/tags",

  async identify(probe: EngineProbe): Promise<EngineIdentity | null> {
    const said = readJson(await tryGet(probe, "/api/version"), version);
    if (said === null || readJson(await tryGet(probe, "/api/tags"), list) === null) return null;
    return { kind: "ollama", version: said.version };
  },

  async read(probe: EngineProbe): Promise<EngineState> {
    const tags = await tryGet(probe, "/api/tags");
    const body = readJson(tags, list);
    if (body === null) return unready(refusalReason(tags));
    const running = readJson(await tryGet(probe, "/api/ps"), list);
    const contexts = new Map<string, number | null>();
    for (const raw of running?.models?.slice(0, MAX_MODELS) ?? []) {
      const model = loaded.safeParse(raw);
      if (model.success) contexts.set(model.data.name, model.data.context_length ?? null);
    }
    const models = [];
    for (const raw of body.models?.slice(0, MAX_MODELS) ?? []) {
      const model = installed.safeParse(raw);
      if (!model.success || !isModelName(model.data.name)) continue;
      const { name, size, details, capabilities, remote_host, remote_model } = model.data;
      models.push({
        ...plainModel(name),
        loaded: running === null ? null : contexts.has(name),
        contextLength: contexts.get(name) ?? null,
        sizeBytes: size ?? null,
        quantization: details?.quantization_level ?? null,
        capabilities: capabilities ?? [],
        remote: isCloudName(name) || Boolean(remote_host) || Boolean(remote_model),
        family: details?.family ?? null,
        parameterSize: details?.parameter_size ?? null,
      });
    }
    // It tells no load beyond what is loaded.
    return readyWith(models);
  },

  operations: nativeOperations,
  // While it listens on loopback only, Ollama answers 403 to names that it does not know.
  hostHeader: plainHostHeader,
};

/** Names that Ollama forwards to its own cloud, at the owner's expense: `gpt-oss:120b-cloud`, `kimi-k2:cloud`. */
function isCloudName(name: string): boolean {
  return /[:-]cloud$/i.test(name);
}
