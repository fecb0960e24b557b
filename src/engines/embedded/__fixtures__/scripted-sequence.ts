import type { LlamaSequence, SamplingOptions, Token } from "../library.ts";

/**
 * A sequence that "generates" a script, for tests of what is built on top of it. Unlike llama.cpp it knows no context limit, and
 * its answer does not depend on the prompt.
 */
export class ScriptedSequence implements LlamaSequence {
  readonly #script: () => Iterable<Token>;
  contextTokens: Token[] = [];
  /** Lengths of the stretches that were evaluated, prompt and generated tokens alike. */
  readonly evaluations: number[] = [];
  isEvaluating = false;

  constructor(script: () => Iterable<Token>) {
    this.#script = script;
  }

  get nextTokenIndex(): number {
    return this.contextTokens.length;
  }

  async eraseContextTokenRanges(ranges: Array<{ start: number; end: number }>): Promise<void> {
    for (const { start, end } of ranges) this.contextTokens.splice(start, end - start);
  }

  async evaluateWithoutGeneratingNewTokens(tokens: Token[]): Promise<void> {
    this.contextTokens.push(...tokens);
    this.evaluations.push(tokens.length);
  }

  async *evaluate(tokens: Token[], _options: SamplingOptions): AsyncGenerator<Token, void, undefined> {
    this.isEvaluating = true;
    try {
      let pending = tokens;
      for (const token of this.#script()) {
        this.contextTokens.push(...pending);
        this.evaluations.push(pending.length);
        yield token;
        pending = [token];
      }
    } finally {
      this.isEvaluating = false;
    }
  }
}
