import { type Clothes, type FakeModel, type FormatName, isAtLeast } from "./clothes.ts";
import type { Json } from "./json.ts";

/** LM Studio, after its documentation of 0.4 (closed source). Answers paths that it does not know with 200 and an error. */
export function dressAsLmStudio(version = "0.4.2"): Clothes {
  const paths = new Map<string, FormatName>([
    ["/v1/chat/completions", "chat"],
    ["/v1/completions", "completions"],
    ["/v1/embeddings", "embeddings"],
  ]);
  if (isAtLeast(version, "0.3.29")) paths.set("/v1/responses", "responses");
  if (isAtLeast(version, "0.4.1")) paths.set("/v1/messages", "messages");
  const isCurrent = isAtLeast(version, "0.4.0");
  return {
    kind: "lm-studio",
    version,
    paths,
    get(path, models) {
      switch (path) {
        case "/api/v1/models":
          return isCurrent ? { models: models.map(currentOf) } : null;
        case "/api/v0/models":
          return { object: "list", data: models.map(olderOf) };
        case "/v1/models":
          return {
            object: "list",
            data: models.map(({ name }) => ({ id: name, object: "model", owned_by: "organization_owner" })),
          };
        default:
          return null;
      }
    },
    notFound: (method, path) => ({
      status: 200,
      body: { error: `Unexpected endpoint or method. (${method} ${path}). Returning 200 anyway` },
    }),
    error(format, status, message) {
      if (format === "messages") {
        return { type: "error", error: { type: status < 500 ? "invalid_request_error" : "api_error", message } };
      }
      return status < 500
        ? { error: { message, type: "invalid_request_error", param: null, code: null } }
        : { error: message };
    },
    unknownModel: (name) => ({ status: 404, message: `Model "${name}" not found` }),
    tooLong: (tokens, limit) =>
      `Trying to keep the first ${tokens} tokens when context the overflows. However, the model is loaded with context length of only ${limit} tokens, which is not enough. Try to load the model with a larger context length, or provide a shorter input`,
    allowsHost: () => true,
  };
}

function currentOf({ name, isLoaded, contextLength }: FakeModel): Json {
  return {
    type: name.includes("embed") ? "embedding" : "llm",
    publisher: "somebody",
    key: name,
    display_name: name,
    architecture: "qwen3",
    quantization: { name: "Q4_K_M", bits_per_weight: 4 },
    size_bytes: 5225388164,
    params_string: "8B",
    loaded_instances: isLoaded ? [{ id: name, config: { context_length: contextLength } }] : [],
    max_context_length: 131072,
    format: "gguf",
    capabilities: { vision: false, trained_for_tool_use: true },
    description: null,
  };
}

function olderOf({ name, isLoaded, contextLength }: FakeModel): Json {
  return {
    id: name,
    object: "model",
    type: name.includes("embed") ? "embeddings" : "llm",
    publisher: "somebody",
    arch: "qwen3",
    compatibility_type: "gguf",
    quantization: "Q4_K_M",
    state: isLoaded ? "loaded" : "not-loaded",
    max_context_length: 131072,
    ...(isLoaded ? { loaded_context_length: contextLength } : {}),
  };
}
