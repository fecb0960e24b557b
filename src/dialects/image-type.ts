import type { ImagePart } from "./conversation.ts";

/** How the base64 of each picture format begins. */
const STARTS = [
  ["/9j/", "image/jpeg"],
  ["iVBORw", "image/png"],
  ["R0lGOD", "image/gif"],
  ["UklGR", "image/webp"],
] as const;

/** The media type of an image whose dialect did not say it (Ollama), told by its first bytes; PNG where they are unknown. */
export function imageMediaType({ mediaType, source }: ImagePart): string {
  if (mediaType !== null) return mediaType;
  if (source.kind === "base64") {
    for (const [start, type] of STARTS) if (source.data.startsWith(start)) return type;
  }
  return "image/png";
}
