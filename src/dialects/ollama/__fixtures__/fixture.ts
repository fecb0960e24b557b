import { readFileSync } from "node:fs";

/** The transcripts of this folder; README.md says what each shows. */
export type FixtureName =
  | "chat-text"
  | "chat-thinking"
  | "chat-tools"
  | "chat-logprobs"
  | "chat-error"
  | "chat-load"
  | "chat-spaced"
  | "generate-text";

/** A transcript, as the server would send it. */
export function readFixture(name: FixtureName): Buffer {
  return readFileSync(new URL(`${name}.ndjson`, import.meta.url));
}

/** The bytes in chunks that end at these places. */
export function cutAt(bytes: Buffer, places: readonly number[]): Buffer[] {
  const borders = [0, ...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return borders.map((from, at) => Buffer.from(bytes.subarray(from, borders[at + 1] ?? bytes.length)));
}

/** The bytes one by one. */
export function singleBytes(bytes: Buffer): Buffer[] {
  return [...bytes].map((byte) => Buffer.of(byte));
}
