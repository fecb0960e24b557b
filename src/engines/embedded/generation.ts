import type { LlamaSequence, SamplingOptions, Token } from "./library.ts";
import { commonPrefix } from "./sequence-pool.ts";
import { StopScanner } from "./stop-scanner.ts";
import { type Detokenize, TextAssembler } from "./text-assembler.ts";

export interface GenerationJob {
  promptTokens: Token[];
  /** Most tokens to sample, at least 1; may be Infinity where the model may run past its context. */
  maxTokens: number;
  stops: readonly string[];
  sampling: SamplingOptions;
}

export interface GenerationModel {
  detokenize: Detokenize;
  isEogToken(token: Token): boolean;
}

export interface GenerationResult {
  finishReason: "stop" | "length";
  promptTokens: number;
  /** Prompt tokens that the sequence still held from an earlier request. */
  cachedTokens: number;
  /** Every token that was sampled, the one that ends the answer included, as llama-server and vLLM count. */
  completionTokens: number;
}

/** Prompt tokens evaluated at once; a cancelled request stops after at most so many. */
const PREFILL_TOKENS = 512;

/**
 * Evaluates the prompt and generates until the model ends, a stop string appears or `maxTokens` are sampled.
 *
 * Text goes to `onText` as soon as it is certain, token by token; when that returns a promise (the caller reads slowly), generation
 * waits for it. On abort it throws the signal's reason after at most one token, or one block of the prompt, leaving the
 * sequence usable.
 */
export async function generate(
  model: GenerationModel,
  sequence: LlamaSequence,
  job: GenerationJob,
  signal: AbortSignal,
  onText: (text: string) => Promise<void> | undefined,
): Promise<GenerationResult> {
  const { promptTokens } = job;
  // The last token is always evaluated again: its logits are what the answer begins with.
  const reusable = Math.min(commonPrefix(sequence.contextTokens, promptTokens), promptTokens.length - 1);
  await sequence.eraseContextTokenRanges([{ start: reusable, end: sequence.nextTokenIndex }]);
  // May be less than `reusable`: models with a sliding window can only go back to a checkpoint.
  const cachedTokens = sequence.nextTokenIndex;
  let evaluated = cachedTokens;
  for (; promptTokens.length - evaluated > PREFILL_TOKENS; evaluated += PREFILL_TOKENS) {
    signal.throwIfAborted();
    await sequence.evaluateWithoutGeneratingNewTokens(promptTokens.slice(evaluated, evaluated + PREFILL_TOKENS));
  }
  signal.throwIfAborted();

  const assembler = new TextAssembler(model.detokenize, promptTokens);
  const scanner = new StopScanner(job.stops);
  let completionTokens = 0;
  let finishReason: GenerationResult["finishReason"] = "length";
  for await (const token of sequence.evaluate(promptTokens.slice(evaluated), job.sampling)) {
    signal.throwIfAborted();
    completionTokens += 1;
    if (model.isEogToken(token)) {
      finishReason = "stop";
      break;
    }
    const { text, isStopped } = scanner.push(assembler.push(token));
    if (text !== "") {
      const slow = onText(text);
      if (slow !== undefined) {
        await slow;
        signal.throwIfAborted();
      }
    }
    if (isStopped) return { finishReason: "stop", promptTokens: promptTokens.length, cachedTokens, completionTokens };
    if (completionTokens >= job.maxTokens) break;
  }
  const { text, isStopped } = scanner.push(assembler.flush());
  const rest = isStopped ? text : text + scanner.flush();
  if (rest !== "") await onText(rest);
  if (isStopped) finishReason = "stop";
  return { finishReason, promptTokens: promptTokens.length, cachedTokens, completionTokens };
}
