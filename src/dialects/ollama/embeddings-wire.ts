import type { AnswerContext } from "../conversation.ts";
import type { Usage } from "../dialect.ts";
import {
  invalidMember,
  isAbsent,
  isJsonObject,
  type JsonObject,
  optionalInteger,
  optionalText,
  textAt,
  untranslatable,
} from "../request-member.ts";

/** Texts to embed, in neutral words. */
export interface EmbeddingRequest {
  inputs: string[];
  /** A single text, not a list of one. */
  isSingle: boolean;
  dimensions: number | null;
  /** How the caller wants its vectors: as numbers, or as the base64 of 32-bit floats. */
  encoding: "float" | "base64";
  /** Whether a text that does not fit may be shortened; null where the caller said nothing. */
  truncate: boolean | null;
  droppedFields: string[];
}

/** One vector for each text, in the order of the request. */
export interface EmbeddingAnswer {
  vectors: number[][];
  /** Null where the engine did not count. */
  tokensIn: number | null;
}

/** One format of embeddings: an operation of some dialect. */
export interface EmbeddingWire {
  /** @throws PosternError `body_invalid`, `untranslatable`. */
  readRequest(body: JsonObject): EmbeddingRequest;
  /** @throws PosternError `untranslatable`. */
  writeRequest(request: EmbeddingRequest, model: string): Record<string, unknown>;
  /** Null when the body is no answer of this format. */
  readAnswer(body: JsonObject): EmbeddingAnswer | null;
  writeAnswer(answer: EmbeddingAnswer, usage: Usage, request: EmbeddingRequest, context: AnswerContext): unknown;
}

/** POST /v1/embeddings. */
export const OPENAI_EMBEDDINGS: EmbeddingWire = {
  readRequest(body) {
    const encoding = optionalText(body["encoding_format"], "encoding_format") ?? "float";
    if (encoding !== "float" && encoding !== "base64") {
      throw invalidMember("encoding_format", "float or base64", encoding);
    }
    return {
      ...readInput(body["input"]),
      dimensions: optionalInteger(body["dimensions"], "dimensions"),
      encoding,
      truncate: null,
      droppedFields: named(body, ["model", "input", "encoding_format", "dimensions"]),
    };
  },
  writeRequest({ inputs, isSingle, dimensions }, model) {
    return {
      model,
      input: isSingle ? inputs[0] : inputs,
      encoding_format: "float",
      ...(dimensions === null ? {} : { dimensions }),
    };
  },
  readAnswer(body) {
    const data = body["data"];
    if (!Array.isArray(data)) return null;
    const vectors: number[][] = new Array(data.length);
    for (const [place, item] of data.entries()) {
      if (!isJsonObject(item)) return null;
      const vector = readVector(item["embedding"]);
      const index = item["index"] ?? place;
      if (vector === null || typeof index !== "number" || !(index in data) || vectors[index] !== undefined) return null;
      vectors[index] = vector;
    }
    const usage = body["usage"];
    return { vectors, tokensIn: isJsonObject(usage) ? count(usage["prompt_tokens"]) : null };
  },
  writeAnswer({ vectors }, { tokensIn }, { encoding }, { model }) {
    return {
      object: "list",
      data: vectors.map((vector, index) => ({
        object: "embedding",
        index,
        embedding: encoding === "base64" ? toBase64(vector) : vector,
      })),
      model,
      usage: { prompt_tokens: tokensIn, total_tokens: tokensIn },
    };
  },
};

/** POST /api/embed. */
export const OLLAMA_EMBED: EmbeddingWire = {
  readRequest(body) {
    const truncate = body["truncate"];
    if (!isAbsent(truncate) && typeof truncate !== "boolean")
      throw invalidMember("truncate", "true or false", truncate);
    return {
      ...readInput(body["input"]),
      dimensions: optionalInteger(body["dimensions"], "dimensions"),
      encoding: "float",
      truncate: truncate ?? null,
      droppedFields: named(body, ["model", "input", "dimensions"]),
    };
  },
  writeRequest({ inputs, isSingle, dimensions, truncate }, model) {
    return {
      model,
      input: isSingle ? inputs[0] : inputs,
      // Elsewhere a text that does not fit is an error; Ollama would shorten it without a word.
      truncate: truncate ?? false,
      ...(dimensions === null ? {} : { dimensions }),
    };
  },
  readAnswer(body) {
    const list = body["embeddings"];
    if (!Array.isArray(list)) return null;
    const vectors = list.map(readVector);
    if (!vectors.every((vector) => vector !== null)) return null;
    return { vectors, tokensIn: count(body["prompt_eval_count"]) };
  },
  writeAnswer({ vectors }, { tokensIn }, _request, { model }) {
    return { model, embeddings: vectors, prompt_eval_count: tokensIn };
  },
};

/** POST /api/embeddings: one text, one vector, no word of usage. */
export const OLLAMA_EMBEDDINGS: EmbeddingWire = {
  readRequest(body) {
    return {
      inputs: [textAt(body["prompt"], "prompt")],
      isSingle: true,
      dimensions: null,
      encoding: "float",
      truncate: null,
      droppedFields: named(body, ["model", "prompt"]),
    };
  },
  writeRequest({ inputs, dimensions }, model) {
    if (inputs.length !== 1) throw untranslatable("input", "only one text at a time can be embedded there");
    if (dimensions !== null) throw untranslatable("dimensions", "it has no counterpart there");
    return { model, prompt: inputs[0] };
  },
  readAnswer(body) {
    const vector = readVector(body["embedding"]);
    return vector === null ? null : { vectors: [vector], tokensIn: null };
  },
  writeAnswer({ vectors }) {
    return { embedding: vectors[0] };
  },
};

function readInput(value: unknown): Pick<EmbeddingRequest, "inputs" | "isSingle"> {
  if (typeof value === "string") return { inputs: [value], isSingle: true };
  if (!Array.isArray(value)) throw invalidMember("input", "a string or a list of strings", value);
  const inputs = value.map((one: unknown, index) => {
    if (typeof one === "number" || Array.isArray(one)) {
      throw untranslatable("input", "tokens have other numbers there; send texts");
    }
    return textAt(one, `input[${index}]`);
  });
  return { inputs, isSingle: false };
}

function named(body: JsonObject, known: readonly string[]): string[] {
  return Object.keys(body).filter((name) => !known.includes(name) && !isAbsent(body[name]));
}

/** Numbers, or the base64 of little-endian 32-bit floats; null for anything else. */
function readVector(value: unknown): number[] | null {
  if (typeof value === "string") return fromBase64(value);
  return Array.isArray(value) && value.every((one) => typeof one === "number") ? value : null;
}

const FLOAT_BYTES = 4;

function fromBase64(text: string): number[] | null {
  const bytes = Buffer.from(text, "base64");
  if (bytes.length === 0 || bytes.length % FLOAT_BYTES !== 0) return null;
  return Array.from({ length: bytes.length / FLOAT_BYTES }, (_, index) => bytes.readFloatLE(index * FLOAT_BYTES));
}

function toBase64(vector: readonly number[]): string {
  const bytes = Buffer.allocUnsafe(vector.length * FLOAT_BYTES);
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * FLOAT_BYTES);
  return bytes.toString("base64");
}

function count(value: unknown): number | null {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : null;
}
