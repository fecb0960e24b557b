import { z } from "zod";
import { PosternError } from "../../errors.ts";
import type { ChatMessage } from "./chat-template.ts";
import type { SamplingOptions, Token } from "./library.ts";

/** What a completion or chat request asks for, checked and in our own words. */
export interface GenerationRequest {
  model: string | null;
  isStream: boolean;
  /** Whether the stream ends with a chunk that carries the usage. */
  includeUsage: boolean;
  /** Null: until the model ends or its context is full. */
  maxTokens: number | null;
  stops: string[];
  sampling: Omit<SamplingOptions, "repeatPenalty">;
  frequencyPenalty: number;
  presencePenalty: number;
}

export interface ChatRequest extends GenerationRequest {
  messages: ChatMessage[];
}

export interface CompletionRequest extends GenerationRequest {
  prompt: string | Token[];
}

export interface EmbeddingRequest {
  model: string | null;
  inputs: Array<string | Token[]>;
  encoding: "float" | "base64";
}

const MAX_MESSAGES = 4_096;
const MAX_STOPS = 16;
const MAX_STOP_CHARACTERS = 256;
const MAX_EMBEDDING_INPUTS = 2_048;

// llama-server's defaults, so that a model answers the same here as there.
const DEFAULT_SAMPLING = { temperature: 0.8, topP: 0.95, topK: 40, minP: 0.05 } as const;

const stopString = z.string().max(MAX_STOP_CHARACTERS);
const tokenLimit = z.int().min(1).nullish();
const GENERATION = {
  model: z.string().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: tokenLimit,
  max_completion_tokens: tokenLimit,
  stop: z.union([stopString, z.array(stopString).max(MAX_STOPS)]).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(0).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  seed: z.int().nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
};

const CHAT_SCHEMA = z.looseObject({
  ...GENERATION,
  messages: z
    .array(
      z.looseObject({
        role: z.enum(["system", "developer", "user", "assistant"]),
        content: z.union([z.string(), z.array(z.looseObject({ type: z.literal("text"), text: z.string() }))]).nullish(),
      }),
    )
    .min(1)
    .max(MAX_MESSAGES),
});

const tokenList = z.array(z.int().min(0)).min(1);
const COMPLETION_SCHEMA = z.looseObject({
  ...GENERATION,
  prompt: z.union([z.string(), tokenList, z.tuple([z.string()]), z.tuple([tokenList])]),
});

const EMBEDDING_SCHEMA = z.looseObject({
  model: z.string().nullish(),
  input: z.union([
    z.string().min(1),
    tokenList,
    z.array(z.string().min(1)).min(1).max(MAX_EMBEDDING_INPUTS),
    z.array(tokenList).min(1).max(MAX_EMBEDDING_INPUTS),
  ]),
  encoding_format: z.enum(["float", "base64"]).nullish(),
});

/**
 * Fields that change what the answer means and that this engine cannot honour: refused rather than ignored. The test says
 * whether the value asks for anything.
 */
const NOT_SUPPORTED: ReadonlyArray<readonly [field: string, asks: (value: unknown) => boolean]> = [
  ["tools", isFilled],
  ["functions", isFilled],
  ["logit_bias", isFilled],
  ["response_format", (value) => isFilled(value) && (value as { type?: unknown }).type !== "text"],
  ["logprobs", (value) => value === true || typeof value === "number"],
  ["top_logprobs", (value) => typeof value === "number" && value > 0],
  ["n", (value) => value !== 1],
  ["best_of", (value) => value !== 1],
  ["echo", (value) => value === true],
  ["suffix", isFilled],
  ["audio", isFilled],
  ["dimensions", () => true],
];

/** @throws PosternError `body_invalid` or `field_refused`, naming the field, when the body is not a chat request we can honour. */
export function parseChatRequest(body: unknown): ChatRequest {
  const parsed = parse(CHAT_SCHEMA, body);
  const messages = parsed.messages.map(({ role, content }): ChatMessage => {
    const text = Array.isArray(content) ? content.map((part) => part.text).join("") : (content ?? "");
    return { role: role === "developer" ? "system" : role, content: text };
  });
  return { ...generation(parsed), messages };
}

/** @throws PosternError as `parseChatRequest`. */
export function parseCompletionRequest(body: unknown): CompletionRequest {
  const parsed = parse(COMPLETION_SCHEMA, body);
  const { prompt } = parsed;
  if (typeof prompt === "string") return { ...generation(parsed), prompt };
  const first = prompt[0];
  return {
    ...generation(parsed),
    prompt: typeof first === "number" ? (prompt as Token[]) : (first as string | Token[]),
  };
}

/** @throws PosternError as `parseChatRequest`. */
export function parseEmbeddingRequest(body: unknown): EmbeddingRequest {
  const { model, input, encoding_format } = parse(EMBEDDING_SCHEMA, body);
  const isSingle = typeof input === "string" || typeof input[0] === "number";
  return {
    model: model ?? null,
    inputs: isSingle ? [input as string | Token[]] : (input as Array<string | Token[]>),
    encoding: encoding_format ?? "float",
  };
}

function parse<Output>(schema: z.ZodType<Output>, body: unknown): Output {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new PosternError("body_invalid", { message: "The request body must be a JSON object" });
  }
  for (const [field, asks] of NOT_SUPPORTED) {
    const value = (body as Record<string, unknown>)[field];
    if (value === undefined || value === null || !asks(value)) continue;
    throw new PosternError("field_refused", {
      message: `The embedded engine does not support "${field}"`,
      param: field,
    });
  }
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = issue?.path.join(".") ?? "";
  throw new PosternError("body_invalid", {
    message: `Field "${path}" is not valid: ${issue?.message ?? "unknown fault"}`,
    ...(path === "" ? {} : { param: path }),
  });
}

function generation(parsed: z.infer<z.ZodObject<typeof GENERATION>>): GenerationRequest {
  const { stop } = parsed;
  return {
    model: parsed.model ?? null,
    isStream: parsed.stream ?? false,
    includeUsage: parsed.stream_options?.include_usage ?? false,
    maxTokens: parsed.max_completion_tokens ?? parsed.max_tokens ?? null,
    stops: (Array.isArray(stop) ? stop : [stop ?? ""]).filter((one) => one !== ""),
    sampling: {
      temperature: parsed.temperature ?? DEFAULT_SAMPLING.temperature,
      topP: parsed.top_p ?? DEFAULT_SAMPLING.topP,
      topK: parsed.top_k ?? DEFAULT_SAMPLING.topK,
      minP: parsed.min_p ?? DEFAULT_SAMPLING.minP,
      ...(parsed.seed == null ? {} : { seed: Math.abs(parsed.seed) % 0xffff_ffff }),
      yieldEogToken: true,
    },
    frequencyPenalty: parsed.frequency_penalty ?? 0,
    presencePenalty: parsed.presence_penalty ?? 0,
  };
}

function isFilled(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  return typeof value === "object" && value !== null ? Object.keys(value).length > 0 : Boolean(value);
}
