import { matchesGlob } from "../lib/glob.ts";
import type { KeyRecord } from "./key.ts";

/**
 * Whether a key may use a model: null allows all, an empty list none; else one entry must match. Entries are exact public
 * names or globs in which `*` stands for any run of characters, `/` and `:` included. Case matters.
 */
export function mayUse(key: Pick<KeyRecord, "models">, model: string): boolean {
  return key.models === null || key.models.some((pattern) => matchesGlob(pattern, model));
}
