import { z } from "zod";
import type { EngineProbe, ProbeAnswer } from "./engine.ts";

/** Reads a path, or null where the engine cannot be reached in time. For adapters, which must not throw on odd engines. */
export async function tryGet(probe: EngineProbe, path: string): Promise<ProbeAnswer | null> {
  try {
    return await probe.get(path);
  } catch {
    return null;
  }
}

/** The body of a 200 answer as `schema` reads it, or null. */
export function readJson<T>(answer: ProbeAnswer | null, schema: z.ZodType<T>): T | null {
  if (answer === null || answer.status !== 200) return null;
  const parsed = schema.safeParse(answer.json());
  return parsed.success ? parsed.data : null;
}

/** Plain text of at most 64 characters, else null: versions, states and formats, which end in terminals and logs. */
export const shortText = z
  .string()
  .regex(/^[\x20-\x7e]{1,64}$/)
  .nullish()
  .catch(null);

/** A count that makes sense, else null. */
export const count = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER).nullish().catch(null);

/** A number of parameters as people write it (`8.0B`, `270M`); null where it is not known. */
export function parameterSize(parameters: number | null | undefined): string | null {
  if (parameters == null) return null;
  for (const [unit, letter] of [
    [1e12, "T"],
    [1e9, "B"],
    [1e6, "M"],
    [1e3, "K"],
  ] as const) {
    if (parameters >= unit) return `${(parameters / unit).toFixed(unit >= 1e9 ? 1 : 0)}${letter}`;
  }
  return String(parameters);
}

/** Plain words for a status that keeps an engine from being ready. */
export function refusalReason(answer: ProbeAnswer | null): string {
  if (answer === null) return "it does not answer";
  if (answer.status === 401 || answer.status === 403) return "it wants another API key than the one configured";
  return `it answers with status ${answer.status}`;
}
