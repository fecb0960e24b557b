/** Operations of the OpenAI dialect that every engine we know answers natively. Ids of dialects/operations.ts. */
export const OPENAI_OPERATIONS: readonly string[] = ["openai.chat", "openai.completions", "openai.embeddings"];
