/** The streams whose end can be proved, by what their events look like. */
export type AnswerForm = "openai-chat" | "openai-completions" | "openai-responses" | "anthropic" | "ollama";

/**
 * What one event of a stream says. `preamble`: nothing for a reader yet. `finish`: the answer is whole. `error`: the server
 * failed; `refusal`: the request itself is at fault. `done`: `[DONE]`, which proves nothing: vLLM sends it after an error too.
 */
export type EventMeaning = "preamble" | "content" | "finish" | "error" | "refusal" | "done";

/** What proves that an answer to this path is whole; null for a path that streams nothing known. */
export function answerFormOf(path: string): AnswerForm | null {
  if (path.endsWith("/chat/completions")) return "openai-chat";
  if (path.endsWith("/completions")) return "openai-completions";
  if (path.endsWith("/responses")) return "openai-responses";
  if (path.endsWith("/messages")) return "anthropic";
  if (path.endsWith("/api/chat") || path.endsWith("/api/generate")) return "ollama";
  return null;
}

/** Faults of the request itself, in the words of the dialects: another target would say the same. */
const REFUSAL =
  /invalid_request|context_length|authentication|permission|not_found|content_policy|content_filter|too_large/;
/** An event without one of these neither ends the answer nor reports an error, and need not be parsed. */
const MAY_MATTER = /"(?:finish_reason|stop_reason)"\s*:\s*"|"done"\s*:\s*true|"message_stop"|"response\.|"error"/;

/**
 * Says what an event means.
 *
 * @param isBegun Content has been seen: then only ends and errors matter, and most events are not parsed.
 */
export function readEvent(form: AnswerForm, data: string, name: string | null, isBegun: boolean): EventMeaning {
  if (data.trim() === "[DONE]") return "done";
  if (isBegun && name !== "error" && !MAY_MATTER.test(data)) return "content";
  const event = parseObject(data);
  // Not JSON: for the reader to judge (fault S10 of the catalogue).
  if (event === null) return "content";
  if (name === "error" || event["type"] === "error" || isPresent(event["error"])) return readError(event);
  switch (form) {
    case "openai-chat":
    case "openai-completions":
      return readChoices(event);
    case "openai-responses":
      return readResponsesEvent(String(event["type"]));
    case "anthropic":
      return readMessagesEvent(event);
    case "ollama":
      return readOllamaChunk(event);
    default:
      form satisfies never;
      return "content";
  }
}

function readError(event: Fields): EventMeaning {
  const error = asObject(event["error"]) ?? event;
  return REFUSAL.test(`${String(error["type"])} ${String(error["code"])}`) ? "refusal" : "error";
}

function readChoices(event: Fields): EventMeaning {
  const choices = Array.isArray(event["choices"]) ? event["choices"].map(asObject) : null;
  if (choices === null) return "content";
  if (choices.some((choice) => typeof choice?.["finish_reason"] === "string")) return "finish";
  const hasContent = choices.some((choice) => {
    const { role: _role, ...delta } = asObject(choice?.["delta"]) ?? {};
    return isPresent(choice?.["text"]) || Object.values(delta).some(isPresent);
  });
  return hasContent ? "content" : "preamble";
}

function readResponsesEvent(type: string): EventMeaning {
  if (type === "response.completed" || type === "response.incomplete") return "finish";
  if (type === "response.failed") return "error";
  return /^response\.(?:created|queued|in_progress|output_item\.added|content_part\.added)$/.test(type)
    ? "preamble"
    : "content";
}

function readMessagesEvent(event: Fields): EventMeaning {
  const type = event["type"];
  if (type === "message_stop") return "finish";
  if (type === "message_delta")
    return typeof asObject(event["delta"])?.["stop_reason"] === "string" ? "finish" : "content";
  return type === "message_start" || type === "content_block_start" || type === "ping" ? "preamble" : "content";
}

function readOllamaChunk(event: Fields): EventMeaning {
  if (event["done"] === true) return "finish";
  const { role: _role, ...message } = asObject(event["message"]) ?? {};
  const parts = [event["response"], event["thinking"], ...Object.values(message)];
  return parts.some(isPresent) ? "content" : "preamble";
}

type Fields = Record<string, unknown>;

function isPresent(value: unknown): boolean {
  return value !== null && value !== undefined && value !== "" && !(Array.isArray(value) && value.length === 0);
}

function asObject(value: unknown): Fields | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

function parseObject(data: string): Fields | null {
  try {
    return asObject(JSON.parse(data));
  } catch {
    return null;
  }
}
