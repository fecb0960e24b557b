import { createHash, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { PosternError, toPosternError } from "../../errors.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import type { Secret } from "../../lib/secret.ts";
import { AnswerFormat, embeddingBody, errorBody, modelsBody } from "./answer-format.ts";
import {
  type ChatRequest,
  type CompletionRequest,
  parseChatRequest,
  parseCompletionRequest,
  parseEmbeddingRequest,
} from "./request.ts";
import { readJson } from "./request-body.ts";
import type { ServedModel } from "./served-model.ts";

/** What the server needs of a model. */
export type EngineModel = Pick<ServedModel, keyof ServedModel>;

/** Only the agent connects; more sockets than this are refused. */
const MAX_CONNECTIONS = 256;
/** Longer than any pool of the agent keeps a connection, so that the engine is never the side that closes an idle one. */
const KEEP_ALIVE_MS = 600_000;

/**
 * The embedded engine's HTTP side: the OpenAI dialect on loopback, behind the engine key.
 *
 * It listens before the model is loaded, so that `/health` can say so (503); everything but `/health` needs the key.
 */
export class EngineServer {
  readonly #server: Server;
  readonly #keyHash: Buffer;
  readonly #clock: Clock;
  #model: EngineModel | null = null;
  #loadedAtMs = 0;

  constructor(apiKey: Secret, clock: Clock = systemClock) {
    this.#keyHash = sha256(`Bearer ${apiKey.reveal()}`);
    this.#clock = clock;
    this.#server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, noDelay: true }, (request, response) => {
      void this.#handle(request, response);
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /** Listens on a free loopback port and returns it. Rejects when there is none. */
  async start(): Promise<number> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return (this.#server.address() as AddressInfo).port;
  }

  /** From now on the engine is ready and answers with this model. */
  serve(model: EngineModel): void {
    this.#model = model;
    this.#loadedAtMs = this.#clock.nowMs();
  }

  /** Ends all connections at once; what was being generated is cancelled. */
  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /** Answers one request. Never rejects. */
  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const left = new AbortController();
    response.on("close", () => {
      if (!response.writableFinished) left.abort();
    });
    try {
      await this.#route(request, response, left.signal);
    } catch (error) {
      if (!left.signal.aborted) sendError(request, response, toPosternError(error));
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse, left: AbortSignal): Promise<void> {
    const route = `${request.method} ${request.url}`;
    if (route === "GET /health") return this.#sendHealth(response);
    if (!this.#isAuthorised(request)) throw new PosternError("unauthorized");
    const model = this.#model;
    if (model === null) throw new PosternError("overloaded", { message: "The model is loading", retryAfterSeconds: 1 });
    switch (route) {
      case "GET /v1/models":
        return sendJson(response, 200, modelsBody(model, this.#loadedAtMs));
      case "POST /v1/chat/completions": {
        const chat = parseChatRequest(await readJson(request));
        return await this.#generate("chat", model, chat, () => model.chatTokens(chat), response, left);
      }
      case "POST /v1/completions": {
        const completion = parseCompletionRequest(await readJson(request));
        const tokens = (): number[] => model.completionTokens(completion);
        return await this.#generate("completion", model, completion, tokens, response, left);
      }
      case "POST /v1/embeddings": {
        const { model: name, inputs, encoding } = parseEmbeddingRequest(await readJson(request));
        checkName(model, name);
        const { vectors, promptTokens } = await model.embed(inputs, left);
        return sendJson(response, 200, embeddingBody(model.name, vectors, encoding, promptTokens));
      }
      default:
        throw new PosternError("unknown_operation");
    }
  }

  async #generate(
    kind: "chat" | "completion",
    model: EngineModel,
    request: ChatRequest | CompletionRequest,
    tokens: () => number[],
    response: ServerResponse,
    left: AbortSignal,
  ): Promise<void> {
    checkName(model, request.model);
    const format = new AnswerFormat(kind, model.name, this.#clock.nowMs());
    if (!request.isStream) {
      let text = "";
      const result = await model.answer(request, tokens(), left, (piece) => {
        text += piece;
        return undefined;
      });
      return sendJson(response, 200, format.whole(text, result));
    }
    // The head goes out with the first text: until then a failure can still have its own status.
    const result = await model.answer(request, tokens(), left, (piece) => {
      if (!response.headersSent) startStream(response, format);
      return response.write(format.streamText(piece)) ? undefined : drained(response);
    });
    if (!response.headersSent) startStream(response, format);
    response.end(format.streamEnd(result, request.includeUsage));
  }

  #sendHealth(response: ServerResponse): void {
    const model = this.#model;
    if (model === null) sendJson(response, 503, '{"status":"loading"}');
    else {
      const { total, free, waiting } = model.sequences;
      sendJson(response, 200, JSON.stringify({ status: "ok", slots: total, running: total - free, queued: waiting }));
    }
  }

  #isAuthorised(request: IncomingMessage): boolean {
    return timingSafeEqual(sha256(request.headers.authorization ?? ""), this.#keyHash);
  }
}

function checkName(model: EngineModel, asked: string | null): void {
  if (asked === null || asked === model.name) return;
  throw new PosternError("model_not_found", { message: "The embedded engine serves another model", param: "model" });
}

function startStream(response: ServerResponse, format: AnswerFormat): void {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  const start = format.streamStart();
  if (start !== "") response.write(start);
}

function sendJson(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
  response.end(body);
}

function sendError(request: IncomingMessage, response: ServerResponse, error: PosternError): void {
  const body = errorBody(error);
  if (response.headersSent) {
    // No end mark follows: a client must not take what it has for a complete answer.
    response.end(`data: ${body}\n\n`);
    return;
  }
  if (error.retryAfterSeconds !== undefined) response.setHeader("retry-after", error.retryAfterSeconds);
  // Where the body was not read to its end, what follows on the connection is not a request.
  if (!request.complete) response.setHeader("connection", "close");
  sendJson(response, error.status, body);
}

/** Resolves when the caller has read enough for more to be written, or has left. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    function done(): void {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    }
    response.on("drain", done);
    response.on("close", done);
  });
}

function sha256(value: string): Buffer {
  return createHash("sha256").update(value).digest();
}
