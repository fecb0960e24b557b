/** A chat request as bytes. */
export function chatRequest(key: string, body: unknown, extraHeaders = ""): string {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return (
    `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\n` +
    `Content-Type: application/json\r\n${extraHeaders}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`
  );
}

/** A smallest chat body. */
export function chatBody(model: string, fields: Record<string, unknown> = {}): Record<string, unknown> {
  return { model, messages: [{ role: "user", content: "hi" }], ...fields };
}

/** A whole chat answer, as an engine of the OpenAI dialect gives it. */
export function chatAnswer(text = "hello", tokensIn = 4, tokensOut = 1): Record<string, unknown> {
  return {
    id: "x",
    object: "chat.completion",
    choices: [{ index: 0, message: { role: "assistant", content: text }, finish_reason: "stop" }],
    usage: { prompt_tokens: tokensIn, completion_tokens: tokensOut, total_tokens: tokensIn + tokensOut },
  };
}
