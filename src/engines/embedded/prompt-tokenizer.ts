import { PosternError } from "../../errors.ts";
import { type ChatMessage, ChatTemplate } from "./chat-template.ts";
import { type LlamaModel, loadTemplates, type Token } from "./library.ts";

const TOKEN_TYPE_UNKNOWN = 2;
const TOKEN_TYPE_CONTROL = 3;

/** Turns what callers send into a model's tokens, within its context. */
export class PromptTokenizer {
  readonly #model: LlamaModel;
  readonly #contextLength: number;
  readonly #template: ChatTemplate | null;
  readonly #vocabularySize: number;
  /** Text of more characters than this cannot fit, whatever its tokens are. */
  readonly #maxCharacters: number;

  constructor(model: LlamaModel, contextLength: number, engineFolder: string) {
    this.#model = model;
    this.#contextLength = contextLength;
    const vocabulary = readVocabulary(model);
    this.#vocabularySize = vocabulary.tokens.length;
    const longest = vocabulary.tokens.reduce((length, token) => Math.max(length, token.length), 1);
    this.#maxCharacters = contextLength * longest;
    this.#template = readTemplate(model, vocabulary, engineFolder);
  }

  get hasChatTemplate(): boolean {
    return this.#template !== null;
  }

  /**
   * Tokens of a conversation, up to where the assistant's answer begins.
   *
   * @throws PosternError `body_invalid` when the model has no chat template or the template refuses the messages,
   * `context_length_exceeded` when the text cannot fit.
   */
  chat(messages: readonly ChatMessage[]): Token[] {
    if (this.#template === null) {
      throw new PosternError("body_invalid", {
        message: "The model file has no chat template; use /v1/completions",
        param: "messages",
      });
    }
    const characters = messages.reduce((sum, { content }) => sum + content.length, 0);
    this.#refuseHuge(characters, "messages");
    const tokens = this.#template
      .render(messages)
      .flatMap(({ text, isMarkup }) => this.#model.tokenize(text, isMarkup, isMarkup ? undefined : "trimLeadingSpace"));
    return this.#withBegin(tokens);
  }

  /** Tokens of a plain prompt. @throws PosternError as `plain`. */
  completion(prompt: string | Token[]): Token[] {
    return this.#withBegin(this.plain(prompt, "prompt"));
  }

  /**
   * Tokens of a text, without any around it; token lists are checked and returned.
   *
   * @throws PosternError `body_invalid` when a token is not in the vocabulary, `context_length_exceeded` when the text cannot fit.
   */
  plain(input: string | Token[], param: string): Token[] {
    if (typeof input === "string") {
      this.#refuseHuge(input.length, param);
      return this.#model.tokenize(input, false);
    }
    if (input.every((token) => token < this.#vocabularySize)) return input;
    throw new PosternError("body_invalid", {
      message: `Field "${param}" has a token that the model does not know`,
      param,
    });
  }

  /** Keeps megabytes of text out of the tokenizer, where they would hold up everybody else. */
  #refuseHuge(characters: number, param: string): void {
    if (characters > this.#maxCharacters) throw contextExceeded(null, this.#contextLength, param);
  }

  #withBegin(tokens: Token[]): Token[] {
    const { bos, shouldPrependBosToken } = this.#model.tokens;
    if (bos !== null && shouldPrependBosToken && tokens[0] !== bos) return [bos, ...tokens];
    if (tokens.length > 0) return tokens;
    throw new PosternError("body_invalid", { message: "The prompt is empty", param: "prompt" });
  }
}

/** The error for a prompt that does not fit. @param promptTokens Null where they were not counted because there are far too many. */
export function contextExceeded(promptTokens: number | null, contextLength: number, param: string): PosternError {
  const seen = promptTokens === null ? "is longer" : `has ${promptTokens} tokens`;
  return new PosternError("context_length_exceeded", {
    message: `This model's maximum context length is ${contextLength} tokens. However, your prompt ${seen}.`,
    param,
  });
}

interface Vocabulary {
  tokens: string[];
  types: number[];
}

function readVocabulary(model: LlamaModel): Vocabulary {
  const { tokenizer } = model.fileInfo.metadata as {
    tokenizer?: { ggml?: { tokens?: unknown; token_type?: unknown } };
  };
  const tokens = tokenizer?.ggml?.tokens;
  const types = tokenizer?.ggml?.token_type;
  return {
    tokens: Array.isArray(tokens) ? tokens.map(String) : [],
    types: Array.isArray(types) ? types.map(Number) : [],
  };
}

function readTemplate(model: LlamaModel, { tokens, types }: Vocabulary, engineFolder: string): ChatTemplate | null {
  const { tokenizer } = model.fileInfo.metadata;
  if (typeof tokenizer !== "object" || tokenizer === null || !("chat_template" in tokenizer)) return null;
  if (typeof tokenizer.chat_template !== "string") return null;
  const isControl = (token: number): boolean =>
    types[token] === TOKEN_TYPE_CONTROL || types[token] === TOKEN_TYPE_UNKNOWN;
  return new ChatTemplate(tokenizer.chat_template, loadTemplates(engineFolder), {
    bos: model.tokens.bosString ?? "",
    eos: model.tokens.eosString ?? "",
    control: tokens.filter((_, token) => isControl(token)),
  });
}
