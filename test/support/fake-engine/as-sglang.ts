import type { Clothes, FakeModel, FormatName } from "./clothes.ts";
import type { Json } from "./json.ts";

/** SGLang, after its http_server.py of 0.5. Imitates Ollama's lists, takes any model name, says 0 input tokens in `message_start`. */
export function dressAsSglang(version = "0.5.12"): Clothes {
  return {
    kind: "sglang",
    version,
    paths: new Map<string, FormatName>([
      ["/v1/chat/completions", "chat"],
      ["/v1/completions", "completions"],
      ["/v1/embeddings", "embeddings"],
      ["/v1/responses", "responses"],
      ["/v1/messages", "messages"],
    ]),
    get(path, models) {
      const [model] = models;
      switch (path) {
        case "/":
          return "Ollama is running";
        case "/health":
          return "";
        case "/get_model_info":
          return { model_path: model?.name ?? "", tokenizer_path: model?.name ?? "", is_generation: true };
        case "/get_server_info":
          return { model_path: model?.name ?? "", version, internal_states: [] };
        case "/api/tags":
          return { models: models.map(({ name }) => ({ name, model: name, size: 0, digest: "", details: {} })) };
        case "/v1/models":
          return { object: "list", data: models.map(cardOf) };
        default:
          return null;
      }
    },
    notFound: () => ({ status: 404, body: { detail: "Not Found" } }),
    error(format, status, message) {
      if (format === "messages") {
        return { type: "error", error: { type: status < 500 ? "invalid_request_error" : "api_error", message } };
      }
      const type = status < 500 ? "BadRequestError" : "InternalServerError";
      return { object: "error", message, type, param: null, code: status };
    },
    unknownModel: () => null,
    tooLong: (tokens, limit) =>
      `The input (${tokens} tokens) is longer than the model's context length (${limit} tokens).`,
    allowsHost: () => true,
  };
}

function cardOf({ name, contextLength }: FakeModel): Json {
  return {
    id: name,
    object: "model",
    created: 1785571200,
    owned_by: "sglang",
    root: name,
    parent: null,
    max_model_len: contextLength,
  };
}
