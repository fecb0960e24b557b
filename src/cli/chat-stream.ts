import { PosternError } from "../errors.ts";
import type { Secret } from "../lib/secret.ts";

/** Longest line of the stream. */
const MAX_LINE_CHARACTERS = 1024 * 1024;

export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface ChatRequest {
  /** Ends in `/v1`. */
  baseUrl: string;
  key: Secret;
  model: string;
  messages: readonly ChatMessage[];
  signal: AbortSignal;
  /** Called with each piece of text as it comes. */
  onText(text: string): void;
}

export interface ChatAnswer {
  text: string;
  finishReason: string | null;
  servedBy: string | null;
  requestId: string | null;
  usage: { prompt_tokens: number; completion_tokens: number } | null;
}

/**
 * Asks the gateway for one streamed answer, as any caller would.
 *
 * @throws PosternError with the gateway's own words; `gateway_unreachable`; `engine_cut` when the stream ends without a
 * finish. An abort rejects with the signal's reason.
 */
export async function streamChat(request: ChatRequest): Promise<ChatAnswer> {
  const response = await ask(request, "/chat/completions", {
    model: request.model,
    messages: request.messages,
    stream: true,
    stream_options: { include_usage: true },
  });
  const answer: ChatAnswer = {
    text: "",
    finishReason: null,
    servedBy: response.headers.get("x-postern-served-by"),
    requestId: response.headers.get("x-request-id"),
    usage: null,
  };
  for await (const data of readEvents(response)) {
    if (data === "[DONE]") break;
    const event = JSON.parse(data) as StreamEvent;
    if (event.error !== undefined) {
      throw new PosternError("engine_cut", {
        message: `The answer broke off: ${String(event.error?.message ?? "unknown reason")}`,
      });
    }
    const [choice] = event.choices ?? [];
    const piece = choice?.delta?.content;
    if (typeof piece === "string" && piece !== "") {
      answer.text += piece;
      request.onText(piece);
    }
    answer.finishReason = choice?.finish_reason ?? answer.finishReason;
    answer.usage = event.usage ?? answer.usage;
  }
  if (answer.finishReason === null) throw new PosternError("engine_cut");
  return answer;
}

/** Names of the models that the key may use. Throws as `streamChat` does. */
export async function listModelNames(request: Pick<ChatRequest, "baseUrl" | "key" | "signal">): Promise<string[]> {
  const response = await ask(request, "/models", null);
  const body = (await response.json()) as { data?: Array<{ id?: unknown }> };
  return (body.data ?? []).map(({ id }) => String(id));
}

interface StreamEvent {
  error?: { message?: unknown } | null;
  choices?: Array<{ delta?: { content?: unknown } | null; finish_reason?: string | null }>;
  usage?: ChatAnswer["usage"];
}

async function ask(
  { baseUrl, key, signal }: Pick<ChatRequest, "baseUrl" | "key" | "signal">,
  path: string,
  body: unknown,
): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(`${baseUrl}${path}`, {
      method: body === null ? "GET" : "POST",
      headers: {
        authorization: `Bearer ${key.reveal()}`,
        ...(body === null ? {} : { "content-type": "application/json" }),
      },
      body: body === null ? null : JSON.stringify(body),
      redirect: "error",
      signal,
    });
  } catch (cause) {
    signal.throwIfAborted();
    throw new PosternError("gateway_unreachable", {
      message: `Cannot reach the gateway at ${baseUrl}`,
      hint: "Is it running? `postern status` says; `postern up` starts it; --url names another one.",
      cause,
    });
  }
  if (response.ok) return response;
  throw await toError(response);
}

async function toError(response: Response): Promise<PosternError> {
  const text = (await response.text()).slice(0, 2000);
  let message = `HTTP status ${response.status}`;
  try {
    message = String((JSON.parse(text) as { error?: { message?: unknown } }).error?.message ?? message);
  } catch {
    // Not ours; the status says what there is to say.
  }
  if (response.status === 401) {
    return new PosternError("unauthorized", {
      message,
      hint: "Make a key: `postern keys create NAME`, and pass it in POSTERN_KEY or --key-file.",
    });
  }
  const code = response.status === 404 ? "model_not_found" : response.status >= 500 ? "no_target" : "bad_request";
  return new PosternError(code, {
    message,
    hint: "`postern models list` shows what is ready; `postern status` shows trouble.",
  });
}

async function* readEvents(response: Response): AsyncGenerator<string> {
  let rest = "";
  for await (const piece of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
    const lines = (rest + piece).split(/\r?\n/);
    rest = lines.pop() ?? "";
    if (rest.length > MAX_LINE_CHARACTERS) throw new PosternError("engine_bad_answer");
    for (const line of lines) if (line.startsWith("data:")) yield line.slice("data:".length).trimStart();
  }
}
