/** Which of Ollama's two streamed formats: `/api/chat` or `/api/generate`. */
export type ChunkKind = "chat" | "generate";

/** A time as Ollama writes it (RFC 3339). */
export function timestamp(atMs: number): string {
  return new Date(atMs).toISOString();
}

/**
 * A chunk that adds nothing: what keeps a silent stream alive. A blank line would end some clients, others expect every
 * member of a chunk (reference: engine-apis §7.3).
 */
export function quietChunk(kind: ChunkKind, model: string, atMs: number): Record<string, unknown> {
  const head = { model, created_at: timestamp(atMs) };
  return kind === "chat"
    ? { ...head, message: { role: "assistant", content: "" }, done: false }
    : { ...head, response: "", done: false };
}
