import { type BodyScan, findMember } from "../../lib/json-scan.ts";
import { jsonLine } from "../../lib/ndjson.ts";
import { type ChunkKind, quietChunk } from "./chunk.ts";
import { isEmptyMember, PROMPT_MEMBERS } from "./request.ts";

/**
 * Whether a chat or generate request asks for nothing but the model to be loaded: an empty prompt. Only Ollama knows such
 * requests; for other engines the gateway answers them itself.
 */
export function isLoadRequest(kind: ChunkKind, { bytes, members }: BodyScan): boolean {
  return PROMPT_MEMBERS[kind].every((name) => isEmptyMember(bytes, findMember(members, name)));
}

/** Ollama's answer to a request that only loads a model: the same whether a stream was asked for or not. */
export function loadAnswer(kind: ChunkKind, model: string, atMs: number): Buffer {
  return Buffer.from(jsonLine({ ...quietChunk(kind, model, atMs), done: true, done_reason: "load" }));
}
