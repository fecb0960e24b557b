import type { ValueKind } from "../lib/json-scan.ts";

/**
 * Version of the field tables. Gateway and agent enforce the same ones at versions of their own; the number goes up with
 * every change of a table, and the agent reports it.
 */
export const FIELDS_VERSION = 3;

/** What is known of one member of a request body. */
export interface FieldRule {
  /** JSON kinds that are accepted; every kind where left out. Only set where policy reads the value or kinds hide a bypass. */
  kinds?: readonly ValueKind[];
  /** Engine kinds that know the field; for others it is taken out on the way. Every kind where left out. */
  only?: readonly string[];
  /** Engine kinds that know the field by another name only. It is renamed for them, unless the body has that name too. */
  renamed?: { for: readonly string[]; to: string };
  /** Which bound of `FieldPolicy` a number is clamped to. */
  clamp?: "maxChoices" | "maxTokens" | "maxContext";
  /** Sizes that a number is rounded up to, ascending, because every other size costs the engine a reload. */
  steps?: readonly number[];
  /** How long the engine keeps the model: bounded by `maxKeepAliveSeconds`, and taken out where that is 0. */
  isKeepAlive?: boolean;
  /** Table of the object's own members. */
  nested?: FieldTable;
}

/** The table of one dialect: what passes and what is refused. Everything else is unknown. */
export interface FieldTable {
  listed: ReadonlyMap<string, FieldRule>;
  /** Refused by name, with the reason: they control the server, or reach files, the network or code. */
  dangerous: ReadonlyMap<string, string>;
  /** Taken out and named even where unknown members are refused: clients send them by habit, and they are the operator's to set. */
  removed?: ReadonlySet<string>;
}

/** What the operator may choose. */
export interface FieldPolicy {
  /** What happens to members that no table knows. Default `remove`. */
  unknown: "remove" | "refuse";
  /** Names that pass although no table lists them, also lifts a refusal; those of nested members as `options.num_gpu`. Default none. */
  allow: readonly string[];
  /** Most answers to one prompt (`n`, `best_of`); vLLM alone would take 16384. Default 8. */
  maxChoices: number;
  /** Most tokens of one answer that a caller may ask for, or null for the engine's own limit. Default null. */
  maxTokens: number | null;
  /** Largest window that a caller may have the engine load the model with (`num_ctx`), or null for the largest of the table's steps. Default null. */
  maxContext: number | null;
  /** Longest that a caller may have a model kept in memory (`keep_alive`). Default 0: that is for the operator to say. */
  maxKeepAliveSeconds: number;
  /** Whether engines may fetch media from URLs that callers name. Default false: that is SSRF from the engine's network. */
  remoteMedia: boolean;
}

/** The policy where the operator chose nothing. */
export const DEFAULT_FIELD_POLICY: FieldPolicy = {
  unknown: "remove",
  allow: [],
  maxChoices: 8,
  maxTokens: null,
  maxContext: null,
  maxKeepAliveSeconds: 0,
  remoteMedia: false,
};
