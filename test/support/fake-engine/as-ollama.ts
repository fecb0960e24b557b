import { type Clothes, type ErrorType, type FakeModel, type FormatName, isAtLeast } from "./clothes.ts";
import type { Json } from "./json.ts";

/**
 * Ollama, after its routes.go, middleware and api/types.go of v0.17.4 and the notes on v0.33. Needs its `Host`, names models
 * `name:tag`, truncates long prompts in silence and has no `count_tokens`.
 */
export function dressAsOllama(version = "0.33.0"): Clothes {
  const paths = new Map<string, FormatName>([
    ["/v1/chat/completions", "chat"],
    ["/v1/completions", "completions"],
    ["/v1/embeddings", "embeddings"],
    ["/api/chat", "ollama-chat"],
    ["/api/generate", "ollama-generate"],
    ["/api/embed", "ollama-embed"],
    ["/api/embeddings", "ollama-embeddings"],
  ]);
  if (isAtLeast(version, "0.13.3")) paths.set("/v1/responses", "responses");
  if (isAtLeast(version, "0.20.0")) paths.set("/v1/audio/transcriptions", "transcriptions");
  if (isAtLeast(version, "0.14.0")) paths.set("/v1/messages", "messages");
  return {
    kind: "ollama",
    version,
    paths,
    get(path, models) {
      switch (path) {
        case "/":
          return "Ollama is running";
        case "/api/version":
          return { version };
        case "/api/tags":
          return { models: models.map(tagOf) };
        case "/api/ps":
          return { models: models.filter((model) => model.isLoaded).map(runningOf) };
        case "/v1/models":
          return {
            object: "list",
            data: models.map(({ name }) => ({ id: name, object: "model", created: 1785571200, owned_by: "library" })),
          };
        default:
          return null;
      }
    },
    notFound: () => ({ status: 404, body: "404 page not found" }),
    error(format, status, message, type) {
      if (format === "messages") {
        return { type: "error", error: { type: anthropicType(status), message }, request_id: "req_fake" };
      }
      if (format.startsWith("ollama")) return { error: message };
      return { error: { message, type: openAiType(status, type), param: null, code: null } };
    },
    unknownModel: (name) => ({ status: 404, message: `model '${name}' not found` }),
    tooLong: () => null,
    allowsHost: (host) => /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(host),
  };
}

function anthropicType(status: number): string {
  if (status === 400) return "invalid_request_error";
  if (status === 404) return "not_found_error";
  if (status === 429) return "rate_limit_error";
  return status === 503 || status === 529 ? "overloaded_error" : "api_error";
}

/** Everything but a broken request is an `api_error`, also an unknown model (recorded, 0.17.4). */
function openAiType(status: number, type: ErrorType): string {
  return status === 400 && type === "invalid" ? "invalid_request_error" : "api_error";
}

function detailsOf(): { [name: string]: Json } {
  return {
    parent_model: "",
    format: "gguf",
    family: "qwen3",
    families: ["qwen3"],
    parameter_size: "8.2B",
    quantization_level: "Q4_K_M",
  };
}

function tagOf({ name }: FakeModel): Json {
  return {
    name,
    model: name,
    modified_at: "2026-08-01T10:00:00.000000000+02:00",
    size: 5225388164,
    digest: "500a1f067a9f782620b40bee6f7b0c89e17ae61f686b92c24933e4ca4b2b8b41",
    details: detailsOf(),
  };
}

function runningOf({ name, contextLength }: FakeModel): Json {
  return {
    name,
    model: name,
    size: 6654289920,
    digest: "500a1f067a9f782620b40bee6f7b0c89e17ae61f686b92c24933e4ca4b2b8b41",
    details: detailsOf(),
    expires_at: "2026-08-01T10:05:00.000000000+02:00",
    size_vram: 6654289920,
    context_length: contextLength,
  };
}
