import { type Clothes, type FakeModel, type FormatName, isAtLeast } from "./clothes.ts";
import type { Json } from "./json.ts";

/** vLLM, after its docs and sources of 0.32. Its stream says `[DONE]` even after an error. */
export function dressAsVllm(version = "0.32.0"): Clothes {
  const paths = new Map<string, FormatName>([
    ["/v1/chat/completions", "chat"],
    ["/v1/completions", "completions"],
    ["/v1/embeddings", "embeddings"],
  ]);
  if (isAtLeast(version, "0.8.0")) paths.set("/v1/audio/transcriptions", "transcriptions");
  if (isAtLeast(version, "0.10.0")) paths.set("/v1/responses", "responses");
  if (isAtLeast(version, "0.11.1")) paths.set("/v1/messages", "messages");
  if (isAtLeast(version, "0.17.0")) paths.set("/v1/messages/count_tokens", "count-tokens");
  return {
    kind: "vllm",
    version,
    paths,
    get(path, models) {
      switch (path) {
        case "/health":
          return "";
        case "/version":
          return { version };
        case "/v1/models":
          return { object: "list", data: models.map(cardOf) };
        case "/metrics":
          return `# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine="0",model_name="m"} 0.0\n# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting{engine="0",model_name="m"} 0.0\n# TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.0\n`;
        default:
          return null;
      }
    },
    notFound: () => ({ status: 404, body: { detail: "Not Found" } }),
    error(format, status, message, type) {
      if (format === "messages" || format === "count-tokens") {
        const kind = status === 404 ? "not_found_error" : status < 500 ? "invalid_request_error" : "internal_error";
        return { type: "error", error: { type: kind, message } };
      }
      return {
        error: { message, type: vllmType(status), param: type === "too_long" ? "input_tokens" : null, code: status },
      };
    },
    unknownModel: (name) => ({ status: 404, message: `The model \`${name}\` does not exist.` }),
    tooLong: (tokens, limit) =>
      `This model's maximum context length is ${limit} tokens. However, your request has ${tokens} input tokens. Please reduce the length of the input messages.`,
    allowsHost: () => true,
  };
}

function vllmType(status: number): string {
  if (status === 404) return "NotFoundError";
  if (status === 503) return "ServiceUnavailableError";
  return status < 500 ? "BadRequestError" : "InternalServerError";
}

function cardOf({ name, contextLength }: FakeModel): Json {
  return {
    id: name,
    object: "model",
    created: 1785571200,
    owned_by: "vllm",
    root: name,
    parent: null,
    max_model_len: contextLength,
    permission: [],
  };
}
