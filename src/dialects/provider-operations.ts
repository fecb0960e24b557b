/** Dialects that providers are asked in. */
export type ProviderDialect = "openai" | "anthropic";

/** What a provider's models can be asked natively, and whose field table holds for them. */
export interface ProviderWords {
  operations: readonly string[];
  kind: "openai" | "anthropic" | "mistral";
}

const ANTHROPIC: ProviderWords = { operations: ["anthropic.messages", "anthropic.count_tokens"], kind: "anthropic" };
const COMPATIBLE: ProviderWords = {
  operations: ["openai.chat", "openai.completions", "openai.embeddings"],
  kind: "openai",
};

/** Hosts (the name, or its end after a dot) of which more is known than the dialect (reference: engine-apis §2). */
const KNOWN: ReadonlyArray<readonly [host: string, words: ProviderWords]> = [
  [
    "api.openai.com",
    {
      operations: [...COMPATIBLE.operations, "openai.responses", "openai.transcriptions"],
      kind: "openai",
    },
  ],
  ["openai.azure.com", { operations: [...COMPATIBLE.operations, "openai.responses"], kind: "openai" }],
  ["openrouter.ai", COMPATIBLE],
  ["api.groq.com", { operations: ["openai.chat"], kind: "openai" }],
  // It refuses what it does not know instead of passing over it, `max_completion_tokens` too.
  ["api.mistral.ai", { operations: ["openai.chat", "openai.embeddings"], kind: "mistral" }],
];

/**
 * What a provider speaks, by its dialect and host.
 *
 * @param isDeployment Azure's older shape, a path for each deployment, in which not all is served.
 */
export function providerWords(dialect: ProviderDialect, host: string, isDeployment: boolean): ProviderWords {
  if (dialect === "anthropic") return ANTHROPIC;
  if (isDeployment) return COMPATIBLE;
  return KNOWN.find(([known]) => host === known || host.endsWith(`.${known}`))?.[1] ?? COMPATIBLE;
}

/** Models that read and write nothing, as providers name them: `text-embedding-3-small`, `mistral-embed`, `nomic-embed-text`. */
const EMBEDS = /(?:^|[-/_.])embed(?:ding)?s?(?:[-_.:]|$)/i;

/** What of these operations a model takes, as far as its name says. */
export function operationsOfModel(operations: readonly string[], model: string): readonly string[] {
  return EMBEDS.test(model) ? operations.filter((id) => id === "openai.embeddings") : operations;
}
