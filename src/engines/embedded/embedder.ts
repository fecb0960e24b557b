import { PosternError } from "../../errors.ts";
import type { LlamaEmbeddingContext, LlamaModel, Token } from "./library.ts";
import { contextExceeded } from "./prompt-tokenizer.ts";

export interface Embeddings {
  /** One per input, of length 1. */
  vectors: Float32Array[];
  promptTokens: number;
}

/** Computes vectors with a context of its own, one input after the other. */
export class Embedder {
  readonly #model: LlamaModel;
  readonly #contextLength: number;
  readonly #threads: number;
  readonly #queueLimit: number;
  #context: Promise<LlamaEmbeddingContext> | null = null;
  #pending = 0;

  /** @param queueLimit Requests at the same time; the next one is refused. */
  constructor(model: LlamaModel, contextLength: number, threads: number, queueLimit: number) {
    this.#model = model;
    this.#contextLength = contextLength;
    this.#threads = threads;
    this.#queueLimit = queueLimit;
  }

  /**
   * @throws PosternError `context_length_exceeded` when one input does not fit, `overloaded`, `engine_refused` when the model
   * cannot do it.
   * @throws the signal's reason between two inputs on abort.
   */
  async embed(inputs: readonly Token[][], signal: AbortSignal): Promise<Embeddings> {
    if (this.#pending >= this.#queueLimit) {
      throw new PosternError("overloaded", {
        message: "The engine is busy and its queue is full",
        retryAfterSeconds: 1,
      });
    }
    this.#pending += 1;
    try {
      const context = await this.#open();
      // The library adds the begin and end tokens that embedding models want, and counts with them.
      const lengths = inputs.map((tokens) => context.calculateInputLength(tokens));
      const longest = Math.max(...lengths);
      if (longest >= this.#contextLength) throw contextExceeded(longest, this.#contextLength, "input");
      const vectors: Float32Array[] = [];
      for (const tokens of inputs) {
        signal.throwIfAborted();
        vectors.push(normalised((await context.getEmbeddingFor(tokens)).vector));
      }
      return { vectors, promptTokens: lengths.reduce((sum, length) => sum + length, 0) };
    } finally {
      this.#pending -= 1;
    }
  }

  /** Opened on first use: a context costs memory, and most models are never asked for vectors. */
  #open(): Promise<LlamaEmbeddingContext> {
    this.#context ??= this.#model
      .createEmbeddingContext({ contextSize: this.#contextLength, threads: this.#threads })
      .catch((cause: unknown) => {
        this.#context = null;
        throw new PosternError("engine_refused", { message: "The model cannot compute embeddings", cause });
      });
    return this.#context;
  }
}

function normalised(vector: readonly number[]): Float32Array {
  const length = Math.hypot(...vector) || 1;
  return Float32Array.from(vector, (value) => value / length);
}
