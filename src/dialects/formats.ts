import type { AttemptFormat } from "./attempt-format.ts";
import { createCodecs } from "./codecs.ts";
import { CONVERSATIONS } from "./conversations.ts";
import type { DialectCodec } from "./dialect.ts";
import { DEFAULT_FIELD_POLICY, type FieldPolicy } from "./field-policy.ts";
import { embeddingsTranslation } from "./ollama/embeddings-translation.ts";
import { type Operation, operationById } from "./operations.ts";
import { passThrough } from "./pass-through.ts";
import { translation } from "./translation.ts";

/**
 * How a caller's operation is asked of an engine that offers these; null when it cannot be. Native where the engine has the
 * operation itself, else the first translation of `PREFERENCES`. Cheap: formats are made beforehand, except those that remember
 * what was asked (embeddings). Those are for one request, so that a format must not be kept for another one.
 */
export type FormatFor = (callerOperationId: string, engineOperationIds: ReadonlySet<string>) => AttemptFormat | null;

/** Translations of an operation, the best first: what the engine's dialect can say, and how well engines speak it. */
const PREFERENCES: ReadonlyMap<string, readonly string[]> = new Map([
  ["openai.chat", ["anthropic.messages", "ollama.chat"]],
  ["openai.responses", ["openai.chat", "anthropic.messages", "ollama.chat"]],
  ["anthropic.messages", ["openai.chat", "ollama.chat"]],
  ["ollama.chat", ["openai.chat", "anthropic.messages"]],
  ["ollama.generate", ["openai.chat", "anthropic.messages"]],
]);

/** Makes a format between two operations that are no conversations, for one request. */
type FormatMaker = (caller: Operation, engine: Operation, codecs: ReadonlyMap<string, DialectCodec>) => AttemptFormat;

/** Translations beyond conversations (embeddings), by `caller > engine`. Their order of preference is theirs here. */
const OTHER_FORMATS: ReadonlyMap<string, FormatMaker> = new Map<string, FormatMaker>([
  ["openai.embeddings > ollama.embed", embeddingsTranslation],
  ["openai.embeddings > ollama.embeddings", embeddingsTranslation],
  ["ollama.embed > openai.embeddings", embeddingsTranslation],
  ["ollama.embed > ollama.embeddings", embeddingsTranslation],
  ["ollama.embeddings > ollama.embed", embeddingsTranslation],
  ["ollama.embeddings > openai.embeddings", embeddingsTranslation],
]);

/** The formats under one field policy. Made once per configuration, not per request. */
export function createFormats(policy: FieldPolicy): FormatFor {
  const codecs = createCodecs(policy);
  const native = new Map<string, AttemptFormat>();
  const translated = new Map<string, { engineId: string; format: () => AttemptFormat }[]>();
  for (const [id, codec] of codecs) {
    const operation = operationById(id);
    if (operation !== undefined) native.set(id, passThrough(operation, codec));
  }
  for (const [callerId, engineIds] of PREFERENCES) {
    for (const engineId of engineIds) {
      const format = join(callerId, engineId, policy);
      if (format !== null) add(callerId, engineId, () => format);
    }
  }
  for (const [pair, make] of OTHER_FORMATS) {
    const [callerId = "", engineId = ""] = pair.split(" > ");
    const caller = operationById(callerId);
    const engine = operationById(engineId);
    if (caller !== undefined && engine !== undefined) add(callerId, engineId, () => make(caller, engine, codecs));
  }
  return (callerOperationId, engineOperationIds) => {
    if (engineOperationIds.has(callerOperationId)) return native.get(callerOperationId) ?? null;
    for (const { engineId, format } of translated.get(callerOperationId) ?? []) {
      if (engineOperationIds.has(engineId)) return format();
    }
    return null;
  };

  function add(callerId: string, engineId: string, format: () => AttemptFormat): void {
    const list = translated.get(callerId);
    if (list === undefined) translated.set(callerId, [{ engineId, format }]);
    else list.push({ engineId, format });
  }
}

/** The formats under the default field policy. */
export const formatFor: FormatFor = createFormats(DEFAULT_FIELD_POLICY);

function join(callerId: string, engineId: string, { remoteMedia }: FieldPolicy): AttemptFormat | null {
  const caller = operationById(callerId);
  const engine = operationById(engineId);
  const callerWords = CONVERSATIONS.get(callerId);
  const engineWords = CONVERSATIONS.get(engineId);
  if (caller === undefined || engine === undefined || callerWords === undefined || engineWords === undefined)
    return null;
  return translation(
    { operation: caller, conversation: callerWords },
    { operation: engine, conversation: engineWords },
    { remoteMedia },
  );
}
