import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { platformPackage } from "./platform-packages.ts";

/**
 * The part of node-llama-cpp 3.21 that we use, written down here because the library is installed at run time.
 *
 * @see https://node-llama-cpp.withcat.ai/api/
 */
interface LlamaLibrary {
  getLlama(options: LlamaOptions): Promise<Llama>;
}

interface LlamaOptions {
  gpu: false | "metal";
  build: "never";
  skipDownload: true;
  usePrebuiltBinaries: true;
  progressLogs: false;
  debug: false;
  maxThreads: number;
  logLevel: "error";
  logger: (level: string, message: string) => void;
}

export interface Llama {
  readonly cpuMathCores: number;
  loadModel(options: {
    modelPath: string;
    loadSignal?: AbortSignal;
    onLoadProgress?: (share: number) => void;
  }): Promise<LlamaModel>;
  dispose(): Promise<void>;
}

export type Token = number;

export interface LlamaModel {
  readonly trainContextSize: number;
  /** Bytes of all tensors. */
  readonly size: number;
  readonly embeddingVectorSize: number;
  readonly tokens: {
    readonly bos: Token | null;
    readonly bosString: string | null;
    readonly eosString: string | null;
    readonly shouldPrependBosToken: boolean;
  };
  readonly typeDescription: string;
  readonly fileInfo: { readonly metadata: { readonly tokenizer?: unknown; readonly general?: unknown } };
  tokenize(text: string, parseSpecialTokens: boolean, options?: "trimLeadingSpace"): Token[];
  detokenize(tokens: readonly Token[], withSpecialTokens: boolean, lastTokens?: readonly Token[]): string;
  isEogToken(token: Token): boolean;
  createContext(options: ContextOptions): Promise<LlamaContext>;
  createEmbeddingContext(options: ContextOptions): Promise<LlamaEmbeddingContext>;
}

interface ContextOptions {
  contextSize?: number | { min?: number; max?: number };
  sequences?: number;
  batchSize?: number;
  threads?: number;
  ignoreMemorySafetyChecks?: boolean;
}

export interface LlamaContext {
  readonly contextSize: number;
  readonly batchSize: number;
  getSequence(): LlamaSequence;
}

export interface LlamaSequence {
  /** Tokens held now, oldest first. A copy. */
  readonly contextTokens: Token[];
  readonly nextTokenIndex: number;
  eraseContextTokenRanges(ranges: Array<{ start: number; end: number }>): Promise<void>;
  evaluateWithoutGeneratingNewTokens(tokens: Token[]): Promise<void>;
  /** One token per turn; leaving the loop frees the sampler. Erases the oldest tokens when the context is full. */
  evaluate(tokens: Token[], options: SamplingOptions): AsyncGenerator<Token, void, undefined>;
}

export interface SamplingOptions {
  temperature: number;
  topP: number;
  topK: number;
  minP: number;
  seed?: number;
  repeatPenalty?: {
    punishTokens: () => Token[];
    penalty: number;
    frequencyPenalty: number;
    presencePenalty: number;
  };
  yieldEogToken: true;
}

export interface LlamaEmbeddingContext {
  /** Tokens that an input costs, with the begin and end tokens that the model wants around it. */
  calculateInputLength(tokens: Token[]): number;
  getEmbeddingFor(tokens: Token[]): Promise<{ readonly vector: readonly number[] }>;
}

/** A dependency of node-llama-cpp, and so part of its install. */
const TEMPLATE_PACKAGE = "@huggingface/jinja";

/** Renders a Jinja chat template. The part of `@huggingface/jinja` that we use. */
export interface TemplateLibrary {
  Template: new (source: string) => { render(variables: Record<string, unknown>): string };
}

/** Loads node-llama-cpp from an install of ours, and llama.cpp with it, such that nothing is ever downloaded or built. */
export async function loadLlama(engineFolder: string, onLog: (message: string) => void): Promise<Llama> {
  const library: LlamaLibrary = await importFrom(engineFolder, "node-llama-cpp/dist/index.js");
  return await library.getLlama({
    gpu: platformPackage()?.gpu ?? false,
    build: "never",
    skipDownload: true,
    usePrebuiltBinaries: true,
    progressLogs: false,
    debug: false,
    // No limit of the library's own: contexts say how many threads they want.
    maxThreads: 0,
    logLevel: "error",
    logger: (_level, message) => onLog(message),
  });
}

/** Loads the template library that node-llama-cpp brings along. */
export function loadTemplates(engineFolder: string): TemplateLibrary {
  const require = createRequire(join(engineFolder, "node_modules", "node-llama-cpp", "package.json"));
  return require(TEMPLATE_PACKAGE) as TemplateLibrary;
}

function importFrom(engineFolder: string, path: string): Promise<LlamaLibrary> {
  return import(pathToFileURL(join(engineFolder, "node_modules", path)).href) as Promise<LlamaLibrary>;
}
