import type { ValueKind } from "../lib/json-scan.ts";

/**
 * Version of the field tables. Gateway and agent enforce the same ones at versions of their own; the number goes up with
 * every change of a table, and the agent reports it.
 */
export const FIELDS_VERSION = 1;

/** What is known of one member of a request body. */
export interface FieldRule {
  /** JSON kinds that are accepted; every kind where left out. Only set where policy reads the value or kinds hide a bypass. */
  kinds?: readonly ValueKind[];
  /** Engine kinds that know the field; for others it is taken out on the way. Every kind where left out. */
  only?: readonly string[];
  /** Engine kinds that know the field by another name only. It is renamed for them, unless the body has that name too. */
  renamed?: { for: readonly string[]; to: string };
  /** Which bound of `FieldPolicy` a number is clamped to. */
  clamp?: "maxChoices" | "maxTokens";
}

/** The table of one dialect: what passes and what is refused. Everything else is unknown. */
export interface FieldTable {
  listed: ReadonlyMap<string, FieldRule>;
  /** Refused by name, with the reason: they control the server, or reach files, the network or code. */
  dangerous: ReadonlyMap<string, string>;
}

/** What the operator may choose. */
export interface FieldPolicy {
  /** What happens to members that no table knows. Default `remove`. */
  unknown: "remove" | "refuse";
  /** Names that pass although no table lists them; also lifts a refusal. Default none. */
  allow: readonly string[];
  /** Most answers to one prompt (`n`, `best_of`); vLLM alone would take 16384. Default 8. */
  maxChoices: number;
  /** Most tokens of one answer that a caller may ask for, or null for the engine's own limit. Default null. */
  maxTokens: number | null;
  /** Whether engines may fetch media from URLs that callers name. Default false: that is SSRF from the engine's network. */
  remoteMedia: boolean;
}

/** The policy where the operator chose nothing. */
export const DEFAULT_FIELD_POLICY: FieldPolicy = {
  unknown: "remove",
  allow: [],
  maxChoices: 8,
  maxTokens: null,
  remoteMedia: false,
};
