import type { Behave } from "./target-server.ts";

/** A whole answer of the OpenAI dialect. */
export function chatAnswer(content: string): Behave {
  return json(200, {
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1,
    model: "stand-in",
    choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
  });
}

/** Any JSON. */
export function json(status: number, value: unknown, headers: Record<string, string> = {}): Behave {
  return (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(value));
  };
}

/** An error in the OpenAI dialect. */
export function errorAnswer(status: number, code: string, headers: Record<string, string> = {}): Behave {
  return json(
    status,
    { error: { message: `said by the stand-in: ${code}`, type: "invalid_request_error", code } },
    headers,
  );
}

/** One event of a streamed chat answer. */
export function chatEvent(delta: Record<string, unknown>, finish: string | null = null): string {
  const chunk = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "stand-in" };
  return `data: ${JSON.stringify({ ...chunk, choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
}

/** What engines send before the first token. */
export const ROLE_EVENT = chatEvent({ role: "assistant", content: "" });
export const FINISH_EVENT = chatEvent({}, "stop");
export const DONE = "data: [DONE]\n\n";

/** Writes the parts as server-sent events; then ends well, is cut, or stays silent. */
export function sse(parts: readonly string[], then: "end" | "cut" | "silence" = "end"): Behave {
  return (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
    const whole = parts.join("");
    if (then === "end") response.end(whole);
    else if (whole !== "") response.write(whole, () => then === "cut" && response.destroy());
    else if (then === "cut") response.destroy();
  };
}

/** A streamed chat answer, word by word. */
export function chatStream(words: readonly string[]): Behave {
  return sse([ROLE_EVENT, ...words.map((content) => chatEvent({ content })), FINISH_EVENT, DONE]);
}

/** A streamed answer of the Anthropic dialect. */
export function messagesEvents(text: string): string[] {
  const message = {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: "stand-in",
    content: [],
    stop_reason: null,
    stop_sequence: null,
  };
  const events: Array<Record<string, unknown> & { type: string }> = [
    { type: "message_start", message: { ...message, usage: { input_tokens: 1, output_tokens: 0 } } },
    { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
    { type: "content_block_delta", index: 0, delta: { type: "text_delta", text } },
    { type: "content_block_stop", index: 0 },
    { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 1 } },
    { type: "message_stop" },
  ];
  return events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
}
