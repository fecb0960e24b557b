/** How a server is told to go on with the last message, which is the assistant's, instead of beginning a new one. */
export interface ContinuationWay {
  /** Members that the body needs besides that message. */
  fields: Readonly<Record<string, unknown>>;
  /** Whether the text may end in white space. */
  takesTrailingSpace: boolean;
}

const BY_FIELD: ContinuationWay = {
  fields: { continue_final_message: true, add_generation_prompt: false },
  takesTrailingSpace: true,
};
const BY_MESSAGE: ContinuationWay = { fields: {}, takesTrailingSpace: true };
/** Anthropic: "final assistant content cannot end with trailing whitespace". */
const BY_PREFILL: ContinuationWay = { fields: {}, takesTrailingSpace: false };

/** Claude models that take a prefill; from 4.6 on they answer 400. A model that is not here is not asked. */
const PREFILL_MODELS = /^claude-(?:3-[a-z0-9-]+|(?:opus|sonnet|haiku)-4(?:-[015])?(?:-\d{8})?)$/;

/**
 * Whether, and how, a server goes on with an answer that somebody else began; null where it does not or nobody knows. What is
 * not known is not tried: a server that begins anew would be spliced to what the caller has.
 *
 * - vLLM and SGLang: `continue_final_message` (vLLM 0.6.2, SGLang 0.4.2).
 * - llama-server: a last message of the assistant is prefilled since b5230 (llama.cpp pull request 13174); with thinking on it
 *   answers 400. Its older builds begin anew.
 * - Ollama, LM Studio: as the model's template has it. OpenAI and most providers: they begin anew.
 *
 * @param operationId Of the request as the server gets it.
 * @param kind Of the engine, or of the provider.
 */
export function continuationWay(operationId: string, kind: string, model: string): ContinuationWay | null {
  if (operationId === "anthropic.messages")
    return kind === "anthropic" && PREFILL_MODELS.test(model) ? BY_PREFILL : null;
  if (operationId !== "openai.chat") return null;
  switch (kind) {
    case "vllm":
    case "sglang":
      return BY_FIELD;
    case "llama-server":
    case "embedded":
      return BY_MESSAGE;
    default:
      return null;
  }
}
