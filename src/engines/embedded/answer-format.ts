import { randomBytes } from "node:crypto";
import { ERRORS, type PosternError } from "../../errors.ts";
import type { GenerationResult } from "./generation.ts";
import type { ServedModel } from "./served-model.ts";

/** The JSON and SSE texts of one chat or completion answer in the OpenAI dialect. */
export class AnswerFormat {
  readonly #kind: "chat" | "completion";
  readonly #head: string;
  readonly #chunkStart: string;
  readonly #chunkEnd: string;

  /** @param createdMs Wall time in UTC milliseconds. */
  constructor(kind: "chat" | "completion", model: string, createdMs: number) {
    this.#kind = kind;
    const id = `${kind === "chat" ? "chatcmpl" : "cmpl"}-${randomBytes(12).toString("hex")}`;
    this.#head = `"id":"${id}","created":${Math.floor(createdMs / 1000)},"model":${JSON.stringify(model)}`;
    // A chunk is these two around the text: nothing but the text is encoded per token.
    const start = `data: {${this.#head},"object":"${kind === "chat" ? "chat.completion.chunk" : "text_completion"}"`;
    this.#chunkStart = `${start},"choices":[{"index":0,${kind === "chat" ? '"delta":{"content":' : '"text":'}`;
    this.#chunkEnd = `${kind === "chat" ? "}" : ""},"logprobs":null,"finish_reason":null}]}\n\n`;
  }

  /** First event of a stream; empty for completions, which have none. */
  streamStart(): string {
    if (this.#kind === "completion") return "";
    const choice = `{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}`;
    return `data: {${this.#head},"object":"chat.completion.chunk","choices":[${choice}]}\n\n`;
  }

  streamText(text: string): string {
    return this.#chunkStart + JSON.stringify(text) + this.#chunkEnd;
  }

  /** Last events of a stream: the finish, the usage where it was asked for, and the end mark. */
  streamEnd(result: GenerationResult, includeUsage: boolean): string {
    const isChat = this.#kind === "chat";
    const start = `data: {${this.#head},"object":"${isChat ? "chat.completion.chunk" : "text_completion"}"`;
    const choice = `{"index":0,${isChat ? '"delta":{}' : '"text":""'},"logprobs":null,"finish_reason":"${result.finishReason}"}`;
    const usageChunk = includeUsage ? `${start},"choices":[],"usage":${JSON.stringify(usage(result))}}\n\n` : "";
    return `${start},"choices":[${choice}]}\n\n${usageChunk}data: [DONE]\n\n`;
  }

  /** The whole answer at once. */
  whole(text: string, result: GenerationResult): string {
    const content = JSON.stringify(text);
    const isChat = this.#kind === "chat";
    const body = isChat ? `"message":{"role":"assistant","content":${content},"refusal":null}` : `"text":${content}`;
    const choice = `{"index":0,${body},"logprobs":null,"finish_reason":"${result.finishReason}"}`;
    return `{${this.#head},"object":"${isChat ? "chat.completion" : "text_completion"}","choices":[${choice}],"usage":${JSON.stringify(usage(result))}}`;
  }
}

/** Error in the OpenAI dialect. */
export function errorBody(error: PosternError): string {
  const { type, code } = ERRORS[error.code].openai;
  return JSON.stringify({ error: { message: error.message, type, param: error.param ?? null, code } });
}

/** Answer to an embeddings request; vectors as numbers or as base64 of little-endian floats. */
export function embeddingBody(
  model: string,
  vectors: readonly Float32Array[],
  encoding: "float" | "base64",
  promptTokens: number,
): string {
  const data = vectors.map((vector, index) => ({
    object: "embedding",
    index,
    embedding:
      encoding === "base64"
        ? Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString("base64")
        : Array.from(vector),
  }));
  return JSON.stringify({
    object: "list",
    data,
    model,
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
  });
}

/** What the model list says of a model. */
type ListedModel = Pick<ServedModel, "name" | "contextLength" | "sizeBytes" | "description" | "capabilities">;

/** The model list: one entry. `meta` follows llama-server, with what the agent reports. */
export function modelsBody(model: ListedModel, loadedAtMs: number): string {
  const entry = {
    id: model.name,
    object: "model",
    created: Math.floor(loadedAtMs / 1000),
    owned_by: "postern",
    meta: {
      n_ctx: model.contextLength,
      size: model.sizeBytes,
      description: model.description,
      capabilities: model.capabilities,
    },
  };
  return JSON.stringify({ object: "list", data: [entry] });
}

function usage(result: GenerationResult): Record<string, unknown> {
  return {
    prompt_tokens: result.promptTokens,
    completion_tokens: result.completionTokens,
    total_tokens: result.promptTokens + result.completionTokens,
    prompt_tokens_details: { cached_tokens: result.cachedTokens },
  };
}
