/** A prompt that does not fit, in the numbers that the engine gave; null where it gave none. */
export interface ContextOverflow {
  promptTokens: number | null;
  /** What the caller asked for at most. */
  answerTokens: number | null;
  windowTokens: number | null;
}

/** Longest text that is looked at. */
const MAX_TEXT_LENGTH = 2048;

/**
 * How engines and providers say it. The numbers are read where they are said; wordings without numbers come last. Where each
 * is from: `anthropic/__fixtures__/README.md`.
 */
const WORDINGS: readonly RegExp[] = [
  // llama-server, since 2025-10.
  /request \((?<prompt>\d+) tokens\) exceeds the available context size \((?<window>\d+) tokens\)/i,
  /input \((?<prompt>\d+) tokens\) is larger than the max context size \((?<window>\d+) tokens\)/i,
  // SGLang; Together. Model and request are in other words than vLLM's.
  /input \((?<prompt>\d+) tokens\) is longer than the model's context length \((?<window>\d+) tokens\)/i,
  /maximum context length of (?<window>\d+) tokens\. You requested a total of \d+ tokens: (?<prompt>\d+) tokens from the input messages and (?<answer>\d+) tokens for the completion/i,
  /input length \((?<prompt>\d+) tokens\) exceeds the maximum allowed length \((?<window>\d+) tokens\)/i,
  // vLLM, oldest to newest; the first is OpenAI's too.
  /maximum context length is (?<window>\d+) tokens.{1,40}you requested (?:about )?\d+ tokens \((?<prompt>\d+) (?:in the messages|in your prompt|of text input)[,;] (?<answer>\d+) (?:in|for) the completion\)/i,
  /maximum context length is (?<window>\d+) tokens.{1,40}your (?:messages|prompt|input) resulted in (?<prompt>\d+) tokens/i,
  /is too large: (?<answer>\d+)\. This model's maximum context length is (?<window>\d+) tokens and your request has (?<prompt>\d+) input tokens/i,
  /maximum context length is (?<window>\d+) tokens.{1,40}your request has (?<prompt>\d+) input tokens/i,
  /passed (?<prompt>\d+) input tokens and requested (?<answer>\d+) output tokens.{1,40}context length is only (?<window>\d+) tokens/i,
  /prompt \(length (?<prompt>\d+)\) is longer than the maximum model length of (?<window>\d+)/i,
  // LM Studio, by age.
  /keep the first (?<prompt>\d+) tokens when context the overflows.{1,80}context length of only (?<window>\d+) tokens/i,
  /cannot truncate prompt with n_keep \((?<prompt>\d+)\) >= n_ctx \((?<window>\d+)\)/i,
  // Anthropic, and engines that speak like it.
  /prompt is too long: (?<prompt>\d+) tokens > (?<window>\d+) maximum/i,
  /exceed context limit: (?<prompt>\d+) \+ (?<answer>\d+) > (?<window>\d+)/i,
  // Without numbers.
  /exceeds? the available context size/i,
  /context size has been exceeded/i,
  /tokens to keep from the initial prompt is greater than the context length/i,
  /(?:input|prompt)(?: length)? exceeds (?:the )?(?:maximum )?(?:context (?:length|window)|max context length)/i,
  /exceeded max context length/i,
  /exceeds the context window of this model/i,
  /maximum context length (?:is|of) (?<window>\d+)/i,
  /prompt is too long/i,
];

/** What an engine's text says of a prompt that does not fit; null when it says nothing of the kind. */
export function readContextOverflow(text: string): ContextOverflow | null {
  const looked = text.slice(0, MAX_TEXT_LENGTH);
  for (const wording of WORDINGS) {
    const groups = wording.exec(looked);
    if (groups === null) continue;
    const said = groups.groups ?? {};
    return {
      promptTokens: number(said["prompt"]),
      answerTokens: number(said["answer"]),
      windowTokens: number(said["window"]),
    };
  }
  return null;
}

function number(digits: string | undefined): number | null {
  const value = Number(digits);
  return digits !== undefined && Number.isSafeInteger(value) ? value : null;
}
