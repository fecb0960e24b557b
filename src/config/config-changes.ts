import { Secret } from "../lib/secret.ts";
import type { ResolvedConfig } from "./resolved.ts";

/** A setting, or a section that is judged as a whole. */
export interface ConfigSetting {
  /** As it stands in the file: `gateway.limits.body`. */
  path: string;
  /** Where it stands in the resolved configuration. */
  keys: readonly string[];
}

/** Sections of which each setting is judged by itself. */
const OPEN: ReadonlySet<string> = new Set([
  "gateway",
  "gateway.limits",
  "gateway.timeouts",
  "gateway.admin",
  "storage",
  "access",
  "continuity",
]);
/** Not of the file, or not for a gateway. */
const OTHERS: ReadonlySet<string> = new Set(["file", "dataFolder", "logLevel", "agent"]);
/** What the resolved configuration calls otherwise than the file. */
const FILE_NAMES: Readonly<Record<string, string>> = { keyTemplates: "access.templates" };

/** Settings in which two configurations differ. Where in its file something stands makes no difference. */
export function changedSettings(a: ResolvedConfig, b: ResolvedConfig): ConfigSetting[] {
  return listSettings(a).filter(({ keys }) => !isSame(settingAt(a, keys), settingAt(b, keys)));
}

/** The value of a setting. */
export function settingAt(config: ResolvedConfig, keys: readonly string[]): unknown {
  return keys.reduce<unknown>((value, key) => (isObject(value) ? value[key] : undefined), config);
}

/** Puts the value of a setting in its place, in the object itself: whoever holds its section sees it. */
export function setSetting(config: ResolvedConfig, keys: readonly string[], value: unknown): void {
  const section = settingAt(config, keys.slice(0, -1));
  const last = keys.at(-1);
  if (isObject(section) && last !== undefined) section[last] = value;
}

/** A copy whose sections can be changed without changing anybody else's: defaults are shared by all. */
export function ownCopy(config: ResolvedConfig): ResolvedConfig {
  const copy: ResolvedConfig = { ...config };
  for (const path of [...OPEN].toSorted((a, b) => a.length - b.length)) {
    const keys = path.split(".");
    const section = settingAt(copy, keys);
    if (isObject(section)) setSetting(copy, keys, { ...section });
  }
  return copy;
}

function listSettings(config: ResolvedConfig): ConfigSetting[] {
  const found: ConfigSetting[] = [];
  function visit(value: object, keys: readonly string[], path: string): void {
    for (const [key, child] of Object.entries(value)) {
      if (path === "" && OTHERS.has(key)) continue;
      const name = FILE_NAMES[key] ?? key.replace(/(?:Ms|Bytes)$/, "");
      const at = path === "" ? name : `${path}.${name}`;
      if (OPEN.has(at) && isObject(child)) visit(child, [...keys, key], at);
      else found.push({ path: at, keys: [...keys, key] });
    }
  }
  visit(config, [], "");
  return found;
}

/** Deep, by value; secrets too, which are never shown. */
function isSame(a: unknown, b: unknown): boolean {
  if (a instanceof Secret && b instanceof Secret) return a.reveal() === b.reveal();
  if (a instanceof Map && b instanceof Map) return isSame([...a], [...b]);
  if (a instanceof Set && b instanceof Set) return isSame([...a], [...b]);
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((one, at) => isSame(one, b[at]));
  if (!isObject(a) || !isObject(b) || Array.isArray(a) || Array.isArray(b)) return Object.is(a, b);
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return names.every((name) => name === "place" || isSame(a[name], b[name]));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
