import { createHash } from "node:crypto";
import type { ListedModel } from "../listed-model.ts";
import { timestamp } from "./chunk.ts";

/**
 * The version of Ollama whose interface is served here: the one that the tables were read from. Clients compare it with what
 * they need (VS Code Copilot wants 0.6.4, Codex 0.13.4) and would otherwise refuse to connect; it says nothing of the engines
 * behind, which differ, and does not change when they do.
 */
export const OLLAMA_API_VERSION = "0.33.0";

/** When the gateway does not know that a model will be unloaded. Ollama itself writes a time centuries ahead for "never". */
const NEVER = "2318-01-01T00:00:00Z";
/** Architecture of a model whose engine does not say it: `model_info` names its members after it. */
const UNKNOWN_ARCHITECTURE = "unknown";

/** Body of GET /api/version. */
export function ollamaVersion(): Buffer {
  return json({ version: OLLAMA_API_VERSION });
}

/** Body of GET /api/tags, sorted by name. */
export function ollamaTags(models: readonly ListedModel[]): Buffer {
  return json({
    models: sorted(models).map((model) => ({
      ...head(model),
      modified_at: timestamp(model.createdAtMs),
      size: model.sizeBytes ?? 0,
      digest: digestOf(model),
      details: details(model),
      capabilities: capabilities(model),
    })),
  });
}

/** Body of GET /api/ps: the models that are in memory somewhere, as far as engines say. */
export function ollamaPs(models: readonly ListedModel[]): Buffer {
  return json({
    models: sorted(models)
      .filter((model) => model.isLoaded === true)
      .map((model) => ({
        ...head(model),
        size: model.sizeBytes ?? 0,
        digest: digestOf(model),
        details: details(model),
        expires_at: NEVER,
        ...(model.contextLength === null ? {} : { context_length: model.contextLength }),
      })),
  });
}

/**
 * Body of POST /api/show: what clients read to choose (window, capabilities), and nothing that the engine's owner wrote: no
 * Modelfile, template, system prompt, parameters or license (reference: engine-apis §1.1).
 */
export function ollamaShow(model: ListedModel): Buffer {
  const architecture = model.family ?? UNKNOWN_ARCHITECTURE;
  return json({
    details: details(model),
    model_info: {
      "general.architecture": architecture,
      "general.basename": model.id,
      ...(model.contextLength === null ? {} : { [`${architecture}.context_length`]: model.contextLength }),
    },
    capabilities: capabilities(model),
    modified_at: timestamp(model.createdAtMs),
  });
}

function head({ id }: ListedModel): Record<string, unknown> {
  return { name: id, model: id };
}

function details({ family = null, parameterSize = null, quantization }: ListedModel): Record<string, unknown> {
  return {
    parent_model: "",
    format: "",
    family: family ?? "",
    families: family === null ? null : [family],
    parameter_size: parameterSize ?? "",
    quantization_level: quantization ?? "",
  };
}

/** Every model that is listed can at least be asked; clients hide those that can do nothing. */
function capabilities(model: ListedModel): readonly string[] {
  return model.capabilities.length === 0 ? ["completion"] : model.capabilities;
}

/**
 * Stands for the model in lists. Ollama's own hash is of files that are nobody's business; clients only compare it and show
 * its first twelve characters, so that it is made from the public name.
 */
function digestOf({ id }: ListedModel): string {
  return createHash("sha256").update(id).digest("hex");
}

function sorted(models: readonly ListedModel[]): ListedModel[] {
  return models.toSorted((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
