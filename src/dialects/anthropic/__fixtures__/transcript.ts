import { readFileSync } from "node:fs";

/** Every transcript of this folder. */
export const TRANSCRIPTS = [
  "anthropic-text",
  "anthropic-tool",
  "anthropic-thinking",
  "ollama-tool",
  "llama-server-thinking",
  "vllm-text",
  "sglang-text",
] as const;

/** The bytes of a transcript. */
export function transcript(name: (typeof TRANSCRIPTS)[number]): Buffer {
  return readFileSync(new URL(`./${name}.sse`, import.meta.url));
}

/** The bytes in pieces of their own, cut at these places; one beyond the end is taken modulo the length. */
export function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const borders = [0, ...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return borders.map((from, at) => Buffer.from(bytes.subarray(from, borders[at + 1] ?? bytes.length)));
}
