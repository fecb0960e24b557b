import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { dressAsLlamaServer } from "./as-llama-server.ts";
import { dressAsLmStudio } from "./as-lm-studio.ts";
import { dressAsOllama } from "./as-ollama.ts";
import { dressAsSglang } from "./as-sglang.ts";
import { dressAsVllm } from "./as-vllm.ts";
import { BEHAVIOURS, type Behaviour, behaviourOf } from "./behaviour.ts";
import { chatFormat } from "./chat-format.ts";
import type { Clothes, FakeKind, FakeModel, FormatName } from "./clothes.ts";
import { completionsFormat } from "./completions-format.ts";
import { embed } from "./embeddings-format.ts";
import type { Format } from "./format.ts";
import type { Json } from "./json.ts";
import { member, text } from "./json.ts";
import { messagesFormat } from "./messages-format.ts";
import { ollamaChatFormat, ollamaGenerateFormat } from "./ollama-format.ts";
import { responsesFormat } from "./responses-format.ts";
import { readTranscription, type TranscriptionAsk, transcript, transcriptStream } from "./transcription-format.ts";
import { answer, countTokens, type Turn } from "./turn.ts";
import { writeStream, writeWhole } from "./write.ts";

export interface FakeEngineOptions {
  kind: FakeKind;
  /** As the server says it; it decides which paths are there. Default: a current one. */
  version?: string;
  /** Names of models besides those of `BEHAVIOURS`. Default `fake-model`, `thinking-model`, `two-tools-model`, `fake-embed`. */
  models?: readonly string[];
  /** Tokens that fit; longer prompts are refused, or cut in silence by Ollama. Default 4096. */
  contextLength?: number;
  /** Wait of the model `slow-load`. Default 300 ms. */
  slowLoadMs?: number;
  /** Between two records of a stream. Default 0: as fast as the caller reads; the model `endless` waits at least 5 ms. */
  recordDelayMs?: number;
  /** Wanted as Bearer token or `x-api-key`. Default: none is. */
  apiKey?: string;
}

/** One request that came in, refused or not. */
export interface FakeRequest {
  method: string;
  path: string;
  headers: IncomingMessage["headers"];
  body: string;
  /** The body parsed; null where it is no JSON. */
  json: Json;
  /** How it ended: answered to the end, or left by the caller. */
  readonly done: Promise<"answered" | "left">;
}

export interface FakeEngineProgram {
  readonly url: URL;
  readonly clothes: Clothes;
  /** In order of arrival. */
  readonly requests: readonly FakeRequest[];
  /** Makes a model loaded or not, for the lists. */
  setLoaded(model: string, isLoaded: boolean): void;
  /** Makes llama-server say 503 "Loading model" to all but its list of models, or stop it. Of no effect in other clothes. */
  setLoading(isLoading: boolean): void;
  close(): Promise<void>;
}

const FORMATS: Partial<Record<FormatName, Format>> = {
  chat: chatFormat,
  completions: completionsFormat,
  responses: responsesFormat,
  messages: messagesFormat,
  "ollama-chat": ollamaChatFormat,
  "ollama-generate": ollamaGenerateFormat,
};

const DEFAULT_MODELS = ["fake-model", "thinking-model", "two-tools-model", "fake-embed"];

/** Starts a fake engine on a free port of loopback. See README.md for how it differs from the real servers. */
export async function startFakeEngine(options: FakeEngineOptions): Promise<FakeEngineProgram> {
  const clothes = dress(options.kind, options.version);
  const names = [...(options.models ?? DEFAULT_MODELS), ...Object.keys(BEHAVIOURS)];
  const contextLength = options.contextLength ?? 4096;
  const models: FakeModel[] = names.map((name) => ({
    name: clothes.kind === "ollama" && !name.includes(":") ? `${name}:latest` : name,
    isLoaded: true,
    contextLength,
  }));
  const requests: FakeRequest[] = [];
  const engine = new FakeServer(clothes, models, options);
  const server = createServer((request, response) => {
    const done = new Promise<"answered" | "left">((resolve) =>
      response.once("close", () => resolve(response.writableFinished ? "answered" : "left")),
    );
    void engine.serve(request, response, done, requests);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: new URL(`http://127.0.0.1:${port}`),
    clothes,
    requests,
    setLoaded(model, isLoaded) {
      for (const one of models) if (one.name === model || one.name === `${model}:latest`) one.isLoaded = isLoaded;
    },
    setLoading(isLoading) {
      engine.isLoading = isLoading && clothes.kind === "llama-server";
    },
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function dress(kind: FakeKind, version: string | undefined): Clothes {
  switch (kind) {
    case "ollama":
      return dressAsOllama(version);
    case "llama-server":
      return dressAsLlamaServer(version);
    case "vllm":
      return dressAsVllm(version);
    case "sglang":
      return dressAsSglang(version);
    case "lm-studio":
      return dressAsLmStudio(version);
    default:
      return kind satisfies never;
  }
}

class FakeServer {
  readonly #clothes: Clothes;
  readonly #models: readonly FakeModel[];
  readonly #options: FakeEngineOptions;
  isLoading = false;
  #count = 0;

  constructor(clothes: Clothes, models: readonly FakeModel[], options: FakeEngineOptions) {
    this.#clothes = clothes;
    this.#models = models;
    this.#options = options;
  }

  async serve(
    request: IncomingMessage,
    response: ServerResponse,
    done: FakeRequest["done"],
    requests: FakeRequest[],
  ): Promise<void> {
    const method = request.method ?? "";
    const path = (request.url ?? "").replace(/\?.*$/s, "");
    const bytes = await readBody(request);
    if (bytes === null) return;
    const body = bytes.toString("utf8");
    const json = parse(body);
    requests.push({ method, path, headers: request.headers, body, json, done });
    const clothes = this.#clothes;
    if (!clothes.allowsHost(request.headers.host ?? "")) {
      response.writeHead(403).end();
      return;
    }
    if (!this.#isAllowed(request)) return refuseKey(clothes, response);
    if (this.isLoading && path !== "/v1/models" && path !== "/models") {
      return writeWhole(response, 503, clothes.error("chat", 503, "Loading model", "loading"));
    }
    const format = method === "POST" ? clothes.paths.get(path) : undefined;
    if (format === "transcriptions") {
      return this.#transcribe(await readTranscription(request.headers["content-type"] ?? "", bytes), response);
    }
    if (format !== undefined) return this.#infer(format, json, response);
    const said = method === "GET" ? clothes.get(path, this.#models) : null;
    const { status, body: answered } = said === null ? clothes.notFound(method, path) : { status: 200, body: said };
    if (typeof answered === "string") response.writeHead(status, { "content-type": "text/plain" }).end(answered);
    else writeWhole(response, status, answered);
  }

  #infer(format: FormatName, body: Json, response: ServerResponse): void {
    const clothes = this.#clothes;
    const refuse = (status: number, message: string, type: Parameters<Clothes["error"]>[3]) =>
      writeWhole(response, status, clothes.error(format, status, message, type));
    if (typeof body !== "object" || body === null) return refuse(400, "the body is not a JSON object", "invalid");
    const name = text(member(body, "model"));
    const unknown = this.#knows(name) ? null : clothes.unknownModel(name);
    if (unknown !== null) return refuse(unknown.status, unknown.message, "not_found");
    const behaviour = behaviourOf(name);
    if (behaviour.kind === "error" && (behaviour.type !== "too_long" || clothes.tooLong(1, 1) !== null)) {
      return this.#fail(format, behaviour, response);
    }
    if (format.includes("embed")) {
      const vectors = embed(format, body);
      return vectors === null ? refuse(400, "input is missing", "invalid") : writeWhole(response, 200, vectors);
    }
    const reader = FORMATS[format === "count-tokens" ? "messages" : format];
    const ask = reader?.read(body) ?? "there is no such format";
    if (reader === undefined || typeof ask === "string") return refuse(400, String(ask), "invalid");
    const tokens = countTokens(ask.prompt);
    if (format === "count-tokens") return writeWhole(response, 200, { input_tokens: tokens + ask.images * 10 });
    const limit = this.#options.contextLength ?? 4096;
    const tooLong = tokens > limit ? clothes.tooLong(tokens, limit) : null;
    if (tooLong !== null) return refuse(400, tooLong, "too_long");
    const turn: Turn = answer(ask, this.#nextId());
    const said = { ...turn, tokensIn: Math.min(turn.tokensIn, limit) };
    const speed = { slowLoadMs: this.#options.slowLoadMs ?? 300, recordDelayMs: this.#options.recordDelayMs ?? 0 };
    // Ollama answers a request that only loads the model with one JSON object, asked for a stream or not.
    const isLoad = format.startsWith("ollama") && ask.prompt === "" && ask.images === 0;
    if (ask.isStream && !isLoad) {
      writeStream(response, reader, reader.stream(said, ask, clothes), behaviour, clothes, speed);
      return;
    }
    if (behaviour.kind === "mid-error") return refuse(500, "the fake engine has broken down", "internal");
    writeWhole(response, 200, reader.whole(said, ask, clothes), behaviour, speed.slowLoadMs);
  }

  #transcribe(ask: TranscriptionAsk | string, response: ServerResponse): void {
    const { kind, error, unknownModel } = this.#clothes;
    const refuse = (status: number, message: string, type: Parameters<Clothes["error"]>[3]) =>
      writeWhole(response, status, error("transcriptions", status, message, type));
    if (typeof ask === "string") return refuse(400, ask, "invalid");
    const unknown = this.#knows(ask.model) ? null : unknownModel(ask.model);
    if (unknown !== null) return refuse(unknown.status, unknown.message, "not_found");
    const isStream = ask.isStream && kind === "vllm";
    const { type, body } = isStream
      ? { type: "text/event-stream; charset=utf-8", body: transcriptStream(ask) }
      : transcript(kind, ask);
    response.writeHead(200, { "content-type": type }).end(body);
  }

  #fail(format: FormatName, failure: Extract<Behaviour, { kind: "error" }>, response: ServerResponse): void {
    const limit = this.#options.contextLength ?? 4096;
    const message =
      failure.type === "too_long" ? (this.#clothes.tooLong(limit * 2, limit) ?? failure.message) : failure.message;
    for (const [name, value] of Object.entries(failure.headers)) response.setHeader(name, value);
    writeWhole(response, failure.status, this.#clothes.error(format, failure.status, message, failure.type));
  }

  #knows(name: string): boolean {
    return this.#models.some((model) => model.name === name || model.name === `${name}:latest`);
  }

  #isAllowed(request: IncomingMessage): boolean {
    const { apiKey } = this.#options;
    if (apiKey === undefined) return true;
    return request.headers.authorization === `Bearer ${apiKey}` || request.headers["x-api-key"] === apiKey;
  }

  #nextId(): string {
    this.#count += 1;
    return `fake${String(this.#count).padStart(8, "0")}`;
  }
}

function refuseKey(clothes: Clothes, response: ServerResponse): void {
  if (clothes.kind === "vllm") return writeWhole(response, 401, { error: "Unauthorized" });
  writeWhole(response, 401, {
    error: { message: "Invalid API Key", type: "authentication_error", code: 401 },
  });
}

/** The body; null when the caller left while sending it. */
async function readBody(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk as Buffer);
  } catch {
    return null;
  }
  return Buffer.concat(chunks);
}

function parse(body: string): Json {
  try {
    return JSON.parse(body) as Json;
  } catch {
    return null;
  }
}
