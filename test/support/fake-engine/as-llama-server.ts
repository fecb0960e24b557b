import { type Clothes, type ErrorType, type FakeModel, type FormatName, isAtLeast } from "./clothes.ts";
import type { Json } from "./json.ts";

/**
 * llama-server with one model, after recordings of build 11549 (../recordings). Takes any model name, answers errors of every
 * path in its own OpenAI-like shape (also below `/v1/messages`), and says `b<build>-<commit>`.
 */
export function dressAsLlamaServer(version = "b11549-00dc8057"): Clothes {
  const paths = new Map<string, FormatName>([
    ["/v1/chat/completions", "chat"],
    ["/v1/completions", "completions"],
    ["/v1/embeddings", "embeddings"],
  ]);
  if (isAtLeast(version, "b7200")) {
    paths.set("/v1/messages", "messages");
    paths.set("/v1/messages/count_tokens", "count-tokens");
  }
  if (isAtLeast(version, "b10488")) paths.set("/v1/audio/transcriptions", "transcriptions");
  if (isAtLeast(version, "b7850")) paths.set("/v1/responses", "responses");
  return {
    kind: "llama-server",
    version,
    paths,
    get(path, models) {
      const [model] = models;
      switch (path) {
        case "/health":
        case "/v1/health":
          return { status: "ok" };
        case "/models":
        case "/v1/models":
          return { models: models.map(ollamaLike), object: "list", data: models.map(entryOf) };
        case "/props":
          return {
            default_generation_settings: { n_ctx: model?.contextLength ?? 4096 },
            total_slots: 4,
            model_alias: model?.name ?? "",
            model_path: `models/${model?.name ?? ""}.gguf`,
            modalities: { vision: false, video: false, audio: false },
            endpoint_slots: true,
            endpoint_metrics: true,
            build_info: version,
            is_sleeping: false,
          };
        case "/slots":
          return [0, 1, 2, 3].map((id) => ({ id, n_ctx: 4096, speculative: false, is_processing: false }));
        case "/metrics":
          return "# TYPE llamacpp:requests_processing gauge\nllamacpp:requests_processing 0\n# TYPE llamacpp:requests_deferred gauge\nllamacpp:requests_deferred 0\n";
        default:
          return null;
      }
    },
    notFound: () => ({
      status: 404,
      body: { error: { message: "File Not Found", type: "not_found_error", code: 404 } },
    }),
    error: (_format, status, message, type) => ({
      error: { code: status, message, type: typeOf(status, type), ...(type === "too_long" ? numbersOf(message) : {}) },
    }),
    unknownModel: () => null,
    tooLong: (tokens, limit) =>
      `request (${tokens} tokens) exceeds the available context size (${limit} tokens), try increasing it`,
    allowsHost: () => true,
  };
}

/** The numbers of the message, which it says once more for programs. */
function numbersOf(message: string): { [name: string]: Json } {
  const [tokens = 0, limit = 0] = (message.match(/\d+/g) ?? []).map(Number);
  return { n_prompt_tokens: tokens, n_ctx: limit };
}

function typeOf(status: number, type: ErrorType): string {
  if (type === "too_long") return "exceed_context_size_error";
  if (type === "loading" || status === 503) return "unavailable_error";
  if (status === 404) return "not_found_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}

function ollamaLike({ name }: FakeModel): Json {
  return { name, model: name, modified_at: "", size: "", digest: "", type: "model", capabilities: ["completion"] };
}

function entryOf({ name, contextLength }: FakeModel): Json {
  return {
    id: name,
    aliases: [name],
    tags: [],
    object: "model",
    architecture: { input_modalities: ["text"], output_modalities: ["text"] },
    created: 1785571200,
    owned_by: "llamacpp",
    meta: {
      vocab_type: 1,
      n_vocab: 128256,
      n_ctx: contextLength,
      n_ctx_train: 131072,
      n_embd: 4096,
      n_params: 8030261312,
      size: 4912898304,
      ftype: "Q4_K - Medium",
    },
  };
}
