import type { FormatName } from "./clothes.ts";
import { type Json, list, member, text } from "./json.ts";
import { allText, countTokens } from "./turn.ts";

/** Length of every vector. */
export const FAKE_DIMENSIONS = 8;

/** Embeddings of all three formats; null when the body is not such a request. A vector depends on its text only. */
export function embed(format: FormatName, body: Json): Json | null {
  const model = text(member(body, "model"));
  const input = member(body, format === "ollama-embeddings" ? "prompt" : "input");
  const texts = typeof input === "string" ? [input] : list(input).map(allText);
  if (texts.length === 0) return null;
  const vectors = texts.map(vectorOf);
  const tokens = texts.reduce((sum, one) => sum + countTokens(one), 0);
  switch (format) {
    case "ollama-embeddings":
      return { embedding: vectors[0] ?? [] };
    case "ollama-embed":
      return { model, embeddings: vectors, total_duration: 1_000_000, load_duration: 1_000, prompt_eval_count: tokens };
    default: {
      const isBase64 = member(body, "encoding_format") === "base64";
      return {
        object: "list",
        model,
        data: vectors.map((vector, index) => ({
          object: "embedding",
          index,
          embedding: isBase64 ? Buffer.from(Float32Array.from(vector).buffer).toString("base64") : vector,
        })),
        usage: { prompt_tokens: tokens, total_tokens: tokens },
      };
    }
  }
}

function vectorOf(words: string): number[] {
  const vector = new Array<number>(FAKE_DIMENSIONS).fill(0);
  for (const [index, byte] of Buffer.from(words).entries()) vector[index % FAKE_DIMENSIONS] = byte / 256;
  return vector;
}
