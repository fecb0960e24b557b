import type { PosternError } from "../../errors.ts";
import type { BodyScan } from "../../lib/json-scan.ts";
import { jsonLine } from "../../lib/ndjson.ts";
import type { DialectCodec, RequestFacts, StreamTap, TargetEdits, Usage } from "../dialect.ts";
import { errorBody } from "../error-body.ts";
import type { FieldPolicy, FieldTable } from "../field-policy.ts";
import type { Dialect } from "../operations.ts";
import { quietChunk } from "./chunk.ts";
import { CHAT_FIELDS, EMBED_FIELDS, EMBEDDINGS_FIELDS, GENERATE_FIELDS } from "./fields.ts";
import { inspectRequest, PROMPT_MEMBERS, rewriteRequest } from "./request.ts";
import { OllamaStreamTap } from "./stream-tap.ts";
import { type Carrier, readWholeAnswer } from "./usage.ts";

/** What tells Ollama's formats apart. */
export interface OllamaFormat {
  dialect: Dialect;
  fields: FieldTable;
  /** Member of a whole answer that carries it. */
  carrier: Carrier;
  /** Members that hold the prompt where an empty one loads the model. */
  content: readonly string[];
}

/** POST /api/chat. */
export const CHAT: OllamaFormat = {
  dialect: "ollama-chat",
  fields: CHAT_FIELDS,
  carrier: "message",
  content: PROMPT_MEMBERS.chat,
};

/** POST /api/generate. */
export const GENERATE: OllamaFormat = {
  dialect: "ollama-generate",
  fields: GENERATE_FIELDS,
  carrier: "response",
  content: PROMPT_MEMBERS.generate,
};

/** POST /api/embed: never a stream. */
export const EMBED: OllamaFormat = {
  dialect: "ollama-embed",
  fields: EMBED_FIELDS,
  carrier: "embeddings",
  content: [],
};

/** POST /api/embeddings: one prompt, one vector, and no word of usage. */
export const EMBEDDINGS: OllamaFormat = {
  dialect: "ollama-embed",
  fields: EMBEDDINGS_FIELDS,
  carrier: "embedding",
  content: ["prompt"],
};

/** The codec of one of Ollama's formats under one field policy. */
export function ollamaCodec({ dialect, fields, carrier, content }: OllamaFormat, policy: FieldPolicy): DialectCodec {
  const kind = carrier === "response" ? "generate" : "chat";
  return {
    dialect,
    inspect(scan: BodyScan): RequestFacts {
      return inspectRequest(scan, fields, policy, content);
    },
    rewrite(scan: BodyScan, facts: RequestFacts, edits: TargetEdits): Buffer {
      return rewriteRequest(scan, facts, edits, fields, policy);
    },
    tap(_facts: RequestFacts, requestBytes: number): StreamTap {
      return new OllamaStreamTap(requestBytes);
    },
    readAnswer(body: Buffer, requestBytes: number): Usage | null {
      return readWholeAnswer(body, requestBytes, carrier);
    },
    inBandError(error: PosternError): Buffer {
      return Buffer.from(`${errorBody("ollama", error)}\n`);
    },
    keepAlive({ model }: RequestFacts, nowMs: number): Buffer {
      return Buffer.from(jsonLine(quietChunk(kind, model, nowMs)));
    },
  };
}
