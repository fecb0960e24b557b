import type { Json } from "./json.ts";

/** Kinds of server that the fake engine can be dressed as. */
export type FakeKind = "ollama" | "llama-server" | "vllm" | "sglang" | "lm-studio";

/** The wire formats that it speaks. */
export type FormatName =
  | "chat"
  | "completions"
  | "embeddings"
  | "transcriptions"
  | "responses"
  | "messages"
  | "count-tokens"
  | "ollama-chat"
  | "ollama-generate"
  | "ollama-embed"
  | "ollama-embeddings";

/** One model that the fake engine pretends to have. */
export interface FakeModel {
  name: string;
  isLoaded: boolean;
  contextLength: number;
}

/** What tells one engine's server from another's. One file a kind. */
export interface Clothes {
  readonly kind: FakeKind;
  readonly version: string;
  /** Which format a path speaks in this version. Paths without one are not there. */
  readonly paths: ReadonlyMap<string, FormatName>;
  /** Answer to a GET, or null where the server has no such path. A string is plain text. */
  get(path: string, models: readonly FakeModel[]): Json | string | null;
  /** What an unknown path gets. */
  notFound(method: string, path: string): { status: number; body: Json | string };
  /** The server's error body for a path of this format. */
  error(format: FormatName, status: number, message: string, type: ErrorType): Json;
  /** What an unknown model gets; null where the server takes any name. */
  unknownModel(name: string): { status: number; message: string } | null;
  /** Wording of a prompt that is too long; null where the server truncates it silently. */
  tooLong(tokens: number, limit: number): string | null;
  /** Refuses a `Host` header, as Ollama does on loopback. */
  allowsHost(host: string): boolean;
}

export type ErrorType = "invalid" | "not_found" | "too_long" | "overloaded" | "loading" | "internal" | "rate_limit";

/** Whether `version` (`1.2.3`, `b123`) is at least `least`. */
export function isAtLeast(version: string, least: string): boolean {
  const parts = (word: string) => (word.match(/\d+/g) ?? []).map(Number);
  const [have, want] = [parts(version), parts(least)];
  for (const [index, part] of want.entries()) {
    if ((have[index] ?? 0) !== part) return (have[index] ?? 0) > part;
  }
  return true;
}
