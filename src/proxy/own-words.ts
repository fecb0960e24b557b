import { countTokensBody, countTokensEstimate } from "../dialects/anthropic/count-tokens.ts";
import { isLoadRequest, loadAnswer } from "../dialects/ollama/load-request.ts";
import type { Operation } from "../dialects/operations.ts";
import type { Clock } from "../lib/clock.ts";
import type { BodyScan } from "../lib/json-scan.ts";
import type { CatalogueEntry } from "./target.ts";

/** Operations in which Ollama's clients ask for nothing but that a model be loaded. */
const LOADING: Readonly<Record<string, "chat" | "generate">> = { "ollama.chat": "chat", "ollama.generate": "generate" };

/**
 * What the gateway says itself although the operation goes to targets: a count where no target can count, and Ollama's
 * preload of a model whose engines know no such thing. Null where a target answers.
 */
export function ownWords(
  operation: Operation,
  scan: BodyScan,
  model: string,
  entry: CatalogueEntry,
  clock: Clock,
): Buffer | null {
  const native = entry.targets.filter((target) => target.operations.has(operation.id));
  if (native.some((target) => target.canAccept())) return null;
  if (operation.kind === "count") return countTokensBody(countTokensEstimate(scan));
  const kind = LOADING[operation.id];
  if (kind === undefined || !isLoadRequest(kind, scan)) return null;
  // A model is not loaded where nobody answers.
  if (native.length > 0 || !entry.targets.some((target) => target.canAccept())) return null;
  return loadAnswer(kind, model, clock.nowMs());
}
