import type { Clothes, FormatName } from "./clothes.ts";
import type { Json } from "./json.ts";
import type { Ask, Turn } from "./turn.ts";

/** One wire format of the fake engine: its own reading of it, written from the engines' documents and not from Postern's code. */
export interface Format {
  readonly name: FormatName;
  /** `Content-Type` of a stream. */
  readonly streamType: string;
  /** Null when the body is not a request of this format; then the reason. */
  read(body: Json): Ask | string;
  /** A whole answer. */
  whole(turn: Turn, ask: Ask, clothes: Clothes): Json;
  /** Records of a stream as text, each complete. */
  stream(turn: Turn, ask: Ask, clothes: Clothes): StreamParts;
  /** An error within a stream, as this engine tells it; with what it writes after it. */
  midError(message: string, clothes: Clothes): string;
  /** A record that is broken: framed well, but no JSON. */
  readonly brokenRecord: string;
}

/** A stream in the parts where faults can strike. */
export interface StreamParts {
  /** Everything up to and with the content. */
  content: string[];
  /** Finish reason, usage. */
  finish: string[];
  /** `[DONE]` and its like; empty where the finish is the end. */
  end: string;
}

/** An SSE record with data alone. */
export function data(value: Json): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

/** An SSE record with its event's name, which is also the `type` of its data. */
export function event(value: { type: string; [name: string]: Json | undefined }): string {
  return `event: ${value.type}\ndata: ${JSON.stringify(value)}\n\n`;
}
