import { operationById } from "../dialects/operations.ts";

/** Dialects of operations that read text and write none. */
const WITHOUT_ANSWER: ReadonlySet<string> = new Set(["openai-embeddings", "openai-rerank", "ollama-embed"]);

/**
 * What of an engine's operations one of its models takes. A model that the engine calls one for embeddings writes no answers: a
 * conversation with it is refused without asking, and goes to another target where there is one.
 *
 * @param capabilities As the engine tells them; none says nothing.
 */
export function modelOperations(operations: readonly string[], capabilities: readonly string[]): ReadonlySet<string> {
  if (!capabilities.includes("embedding") || capabilities.includes("completion")) return new Set(operations);
  return new Set(operations.filter((id) => WITHOUT_ANSWER.has(operationById(id)?.dialect ?? "")));
}
