import { randomUUID } from "node:crypto";

/**
 * Ids of the calls of one answer: the engine's own where they are usable, else made here, unique also between answers,
 * because callers join results to calls by id across the whole conversation (reference: engine-apis §3.4, 8).
 */
export class ToolUseIds {
  readonly #taken = new Set<string>();

  unique(said: unknown): string {
    const isUsable = typeof said === "string" && said !== "" && !this.#taken.has(said);
    const id = isUsable ? said : `toolu_${randomUUID().replaceAll("-", "")}`;
    this.#taken.add(id);
    return id;
  }
}
