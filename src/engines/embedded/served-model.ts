import { Embedder, type Embeddings } from "./embedder.ts";
import { type GenerationJob, type GenerationResult, generate } from "./generation.ts";
import type { Llama, LlamaContext, LlamaModel, LlamaSequence, Token } from "./library.ts";
import { contextExceeded, PromptTokenizer } from "./prompt-tokenizer.ts";
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
  /** The model's chain of tokens never ends, and it may run past its context (the demo model's endless variant). */
  isEndless: boolean;
}

/** Requests that may wait for a sequence; the next one gets 503. */
export const QUEUE_LIMIT = 64;
/**
 * Models below this are computed by one thread: more would only wait for each other, by spinning, and on a machine with less
 * idle cores than threads (three engines on two cores) that makes a token ten times dearer and more.
 */
const ONE_THREAD_BELOW_BYTES = 64 * 1024 * 1024;
/** Smallest context that is worth loading a model for. */
const MIN_CONTEXT_LENGTH = 512;
const PENALTY_WINDOW_TOKENS = 64;

/** A GGUF model, loaded into llama.cpp and ready to answer. It lives as long as its process. */
export class ServedModel {
  readonly name: string;
  readonly #model: LlamaModel;
  readonly #context: LlamaContext;
  readonly #pool: SequencePool;
  readonly #tokenizer: PromptTokenizer;
  readonly #embedder: Embedder;
  readonly #isEndless: boolean;

  private constructor(model: LlamaModel, context: LlamaContext, options: ModelOptions, threads: number) {
    this.name = options.name;
    this.#model = model;
    this.#context = context;
    this.#isEndless = options.isEndless;
    const sequences: LlamaSequence[] = Array.from({ length: options.sequences }, () => context.getSequence());
    this.#pool = new SequencePool(sequences, QUEUE_LIMIT);
    this.#tokenizer = new PromptTokenizer(model, context.contextSize, options.engineFolder);
    this.#embedder = new Embedder(model, context.contextSize, threads, QUEUE_LIMIT);
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
    const threads = model.size < ONE_THREAD_BELOW_BYTES ? 1 : llama.cpuMathCores;
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
    return [...(this.#tokenizer.hasChatTemplate ? ["chat"] : []), "completion", "embedding"];
  }

  get sequences(): { total: number; free: number; waiting: number } {
    return { total: this.#pool.size, free: this.#pool.freeCount, waiting: this.#pool.waitingCount };
  }

  /** @throws PosternError as `PromptTokenizer.chat`. */
  chatTokens(request: ChatRequest): Token[] {
    return this.#tokenizer.chat(request.messages);
  }

  /** @throws PosternError as `PromptTokenizer.completion`. */
  completionTokens(request: CompletionRequest): Token[] {
    return this.#tokenizer.completion(request.prompt);
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
    if (room < 1) throw contextExceeded(promptTokens.length, this.contextLength, "messages");
    const sequence = await this.#pool.acquire(promptTokens, signal);
    try {
      return await generate(this.#model, sequence, this.#job(request, promptTokens, room, sequence), signal, onText);
    } finally {
      this.#pool.release(sequence);
    }
  }

  /** Vectors for texts or token lists, in order. @throws PosternError as `PromptTokenizer.plain` and `Embedder.embed`. */
  async embed(inputs: ReadonlyArray<string | Token[]>, signal: AbortSignal): Promise<Embeddings> {
    const lists = inputs.map((input) => this.#tokenizer.plain(input, "input"));
    return await this.#embedder.embed(lists, signal);
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
}
