import { PosternError } from "../../errors.ts";
import { ChatTemplate } from "./chat-template.ts";
import { type GenerationJob, type GenerationResult, generate } from "./generation.ts";
import {
  type Llama,
  type LlamaContext,
  type LlamaEmbeddingContext,
  type LlamaModel,
  type LlamaSequence,
  loadTemplates,
  type Token,
} from "./library.ts";
import type { ChatRequest, CompletionRequest, GenerationRequest } from "./request.ts";
import { SequencePool } from "./sequence-pool.ts";

export interface ModelOptions {
  engineFolder: string;
  modelPath: string;
  /** Name to serve it under. */
  name: string;
  /** Most tokens of prompt and answer together; less when the model was trained for less or memory is short. */
  contextLength: number;
  /** Requests answered at the same time. */
  sequences: number;
  /** Null: as many as the machine has cores for arithmetic. */
  threads: number | null;
  /** The model's chain of tokens never ends, and it may run past its context (the demo model's endless variant). */
  isEndless: boolean;
}

/** Requests that may wait for a sequence; the next one gets 503. */
export const QUEUE_LIMIT = 64;
/** Smallest context that is worth loading a model for. */
const MIN_CONTEXT_LENGTH = 512;
const PENALTY_WINDOW_TOKENS = 64;
const TOKEN_TYPE_UNKNOWN = 2;
const TOKEN_TYPE_CONTROL = 3;

/** A GGUF model, loaded into llama.cpp and ready to answer. It lives as long as its process. */
export class ServedModel {
  readonly name: string;
  readonly #model: LlamaModel;
  readonly #context: LlamaContext;
  readonly #pool: SequencePool;
  readonly #template: ChatTemplate | null;
  readonly #isEndless: boolean;
  readonly #threads: number;
  readonly #vocabularySize: number;
  readonly #maxTextCharacters: number;
  #embeddingContext: Promise<LlamaEmbeddingContext> | null = null;
  #embeddingsPending = 0;

  private constructor(model: LlamaModel, context: LlamaContext, options: ModelOptions, threads: number) {
    this.name = options.name;
    this.#model = model;
    this.#context = context;
    this.#isEndless = options.isEndless;
    this.#threads = threads;
    const vocabulary = readVocabulary(model);
    this.#vocabularySize = vocabulary.tokens.length;
    const longestToken = vocabulary.tokens.reduce((longest, token) => Math.max(longest, token.length), 1);
    this.#maxTextCharacters = context.contextSize * longestToken;
    const sequences: LlamaSequence[] = Array.from({ length: options.sequences }, () => context.getSequence());
    this.#pool = new SequencePool(sequences, QUEUE_LIMIT);
    this.#template = readTemplate(model, vocabulary, options.engineFolder);
  }

  /**
   * Loads a model file.
   *
   * @param onLoad Share of the file that is loaded, 0 to 1.
   * @throws whatever llama.cpp says when the file is not a model it knows, or memory is short.
   */
  static async load(llama: Llama, options: ModelOptions, onLoad: (share: number) => void): Promise<ServedModel> {
    const model = await llama.loadModel({ modelPath: options.modelPath, onLoadProgress: onLoad });
    const max = Math.max(1, Math.min(options.contextLength, model.trainContextSize));
    const threads = options.threads ?? llama.cpuMathCores;
    const context = await model.createContext({
      contextSize: { min: Math.min(MIN_CONTEXT_LENGTH, max), max },
      sequences: options.sequences,
      threads,
    });
    return new ServedModel(model, context, options, threads);
  }

  /** Tokens of prompt and answer together. */
  get contextLength(): number {
    return this.#context.contextSize;
  }

  get sizeBytes(): number {
    return this.#model.size;
  }

  /** What llama.cpp calls it, such as `llama 8B Q4_K - Medium`. */
  get description(): string {
    return this.#model.typeDescription;
  }

  /** `chat` only where the model file has a chat template. */
  get capabilities(): string[] {
    return [...(this.#template === null ? [] : ["chat"]), "completion", "embedding"];
  }

  get sequences(): { total: number; free: number; waiting: number } {
    return { total: this.#pool.size, free: this.#pool.freeCount, waiting: this.#pool.waitingCount };
  }

  /** @throws PosternError when the model has no chat template or the template refuses the messages. */
  chatTokens(request: ChatRequest): Token[] {
    if (this.#template === null) {
      throw new PosternError("body_invalid", {
        message: "The model file has no chat template; use /v1/completions",
        param: "messages",
      });
    }
    this.#refuseHuge(
      request.messages.reduce((sum, message) => sum + message.content.length, 0),
      "messages",
    );
    const parts = this.#template.render(request.messages);
    const tokens = parts.flatMap(({ text, isMarkup }, index) =>
      index === 0
        ? this.#model.tokenize(text, isMarkup)
        : this.#model.tokenize(text, isMarkup, isMarkup ? undefined : "trimLeadingSpace"),
    );
    return this.#withBegin(tokens);
  }

  /** @throws PosternError `body_invalid` when a token is not in the vocabulary. */
  completionTokens(request: Pick<CompletionRequest, "prompt">): Token[] {
    return this.#withBegin(this.#tokenize(request.prompt, "prompt"));
  }

  /**
   * Answers one request: waits for a sequence, evaluates, generates. See `generate` for text, back-pressure and abort.
   *
   * @throws PosternError `context_length_exceeded` when the prompt leaves no room for one token, `overloaded` when the queue is full.
   */
  async answer(
    request: GenerationRequest,
    promptTokens: Token[],
    signal: AbortSignal,
    onText: (text: string) => Promise<void> | undefined,
  ): Promise<GenerationResult> {
    const room = this.contextLength - promptTokens.length;
    if (room < 1) throw tooLong(promptTokens.length, this.contextLength, "messages");
    const sequence = await this.#pool.acquire(promptTokens, signal);
    try {
      return await generate(this.#model, sequence, this.#job(request, promptTokens, room, sequence), signal, onText);
    } finally {
      this.#pool.release(sequence);
    }
  }

  /**
   * Vectors of length 1 for texts or token lists, in order, with the tokens they cost. One text is computed at a time.
   *
   * @throws PosternError as `answer`.
   */
  async embed(
    inputs: ReadonlyArray<string | Token[]>,
    signal: AbortSignal,
  ): Promise<{ vectors: Float32Array[]; promptTokens: number }> {
    if (this.#embeddingsPending >= QUEUE_LIMIT) {
      throw new PosternError("overloaded", {
        message: "The engine is busy and its queue is full",
        retryAfterSeconds: 1,
      });
    }
    const lists = inputs.map((input) => this.#tokenize(input, "input"));
    this.#embeddingsPending += 1;
    try {
      const context = await this.#openEmbeddingContext();
      // The library adds the begin and end tokens that embedding models want, and counts with them.
      const lengths = lists.map((tokens) => context.calculateInputLength(tokens));
      const longest = Math.max(...lengths);
      if (longest >= this.contextLength) throw tooLong(longest, this.contextLength, "input");
      const vectors: Float32Array[] = [];
      for (const tokens of lists) {
        signal.throwIfAborted();
        vectors.push(normalised((await context.getEmbeddingFor(tokens)).vector));
      }
      return { vectors, promptTokens: lengths.reduce((sum, length) => sum + length, 0) };
    } finally {
      this.#embeddingsPending -= 1;
    }
  }

  /** Opened on first use: it costs memory for a context of its own, and most models are never asked for vectors. */
  #openEmbeddingContext(): Promise<LlamaEmbeddingContext> {
    this.#embeddingContext ??= this.#model
      .createEmbeddingContext({ contextSize: this.contextLength, threads: this.#threads })
      .catch((cause: unknown) => {
        this.#embeddingContext = null;
        throw new PosternError("engine_refused", { message: "The model cannot compute embeddings", cause });
      });
    return this.#embeddingContext;
  }

  #job(request: GenerationRequest, promptTokens: Token[], room: number, sequence: LlamaSequence): GenerationJob {
    const asked = request.maxTokens ?? Infinity;
    // An endless answer that is collected before it is sent must have an end.
    const maxTokens = this.#isEndless && request.isStream ? asked : Math.min(asked, room);
    const { frequencyPenalty, presencePenalty } = request;
    const hasPenalty = frequencyPenalty !== 0 || presencePenalty !== 0;
    const repeatPenalty = {
      punishTokens: () => sequence.contextTokens.slice(promptTokens.length).slice(-PENALTY_WINDOW_TOKENS),
      penalty: 1,
      frequencyPenalty,
      presencePenalty,
    };
    return {
      promptTokens,
      maxTokens,
      stops: request.stops,
      sampling: hasPenalty ? { ...request.sampling, repeatPenalty } : request.sampling,
    };
  }

  #tokenize(input: string | Token[], param: string): Token[] {
    if (typeof input === "string") {
      this.#refuseHuge(input.length, param);
      return this.#model.tokenize(input, false);
    }
    if (input.some((token) => token >= this.#vocabularySize)) {
      throw new PosternError("body_invalid", {
        message: `Field "${param}" has a token that the model does not know`,
        param,
      });
    }
    return input;
  }

  /** Refuses text that cannot fit whatever its tokens are, before megabytes of it hold up everybody else in the tokenizer. */
  #refuseHuge(characters: number, param: string): void {
    if (characters > this.#maxTextCharacters) throw tooLong(null, this.contextLength, param);
  }

  #withBegin(tokens: Token[]): Token[] {
    const { bos, shouldPrependBosToken } = this.#model.tokens;
    if (bos !== null && shouldPrependBosToken && tokens[0] !== bos) return [bos, ...tokens];
    if (tokens.length > 0) return tokens;
    throw new PosternError("body_invalid", { message: "The prompt is empty", param: "prompt" });
  }
}

/** @param promptTokens Null where they were not counted because there are certainly too many. */
function tooLong(promptTokens: number | null, contextLength: number, param: string): PosternError {
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

function readTemplate(model: LlamaModel, vocabulary: Vocabulary, engineFolder: string): ChatTemplate | null {
  const tokenizer = model.fileInfo.metadata.tokenizer;
  if (typeof tokenizer !== "object" || tokenizer === null || !("chat_template" in tokenizer)) return null;
  if (typeof tokenizer.chat_template !== "string") return null;
  const { tokens, types } = vocabulary;
  const control = tokens.filter(
    (_, token) => types[token] === TOKEN_TYPE_CONTROL || types[token] === TOKEN_TYPE_UNKNOWN,
  );
  return new ChatTemplate(tokenizer.chat_template, loadTemplates(engineFolder), {
    bos: model.tokens.bosString ?? "",
    eos: model.tokens.eosString ?? "",
    control,
  });
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

function normalised(vector: readonly number[]): Float32Array {
  const length = Math.hypot(...vector) || 1;
  return Float32Array.from(vector, (value) => value / length);
}
