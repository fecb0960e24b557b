import type { Token } from "./library.ts";

/** `detokenize` of a model: text of tokens, given the ones before them. Incomplete UTF-8 comes out as U+FFFD. */
export type Detokenize = (tokens: readonly Token[], withSpecialTokens: boolean, lastTokens: readonly Token[]) => string;

/** Longest run of tokens that is held back because it may be one unfinished character (a character has at most 4 bytes). */
const MAX_PENDING_TOKENS = 4;
/** Tokens of context that decide about spaces at the seam. */
const MAX_LAST_TOKENS = 4;
const REPLACEMENT = "\uFFFD";

/** Turns tokens into text one by one; a character that several tokens spell appears when its last byte is there. */
export class TextAssembler {
  readonly #detokenize: Detokenize;
  #last: Token[];
  #pending: Token[] = [];

  /** @param promptTokens What was there before; its end decides whether the text begins with a space. */
  constructor(detokenize: Detokenize, promptTokens: readonly Token[]) {
    this.#detokenize = detokenize;
    this.#last = promptTokens.slice(-MAX_LAST_TOKENS);
  }

  /** Text that is complete with this token; empty while a character is unfinished. */
  push(token: Token): string {
    this.#pending.push(token);
    const text = this.#detokenize(this.#pending, false, this.#last);
    if (text.endsWith(REPLACEMENT) && this.#pending.length < MAX_PENDING_TOKENS) return "";
    this.#last = [...this.#last, ...this.#pending].slice(-MAX_LAST_TOKENS);
    this.#pending = [];
    return text;
  }

  /** What is left when generation ends inside a character. */
  flush(): string {
    if (this.#pending.length === 0) return "";
    const text = this.#detokenize(this.#pending, false, this.#last);
    this.#pending = [];
    return text;
  }
}
