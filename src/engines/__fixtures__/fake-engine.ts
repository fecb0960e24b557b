import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";

/**
 * An engine that a test scripts byte by byte over real sockets, so that it can break HTTP in every way.
 *
 * Unlike a real engine it computes nothing, answers each request with whatever the test writes, and knows requests with
 * `Content-Length` only.
 */
export interface FakeEngine {
  readonly url: URL;
  /** Every request so far, in order of arrival. */
  readonly requests: FakeRequest[];
  /** Sockets that are open now. */
  readonly sockets: ReadonlySet<Socket>;
  /** Replaces what is done with the requests that come from now on. */
  answerWith(answer: FakeAnswer): void;
  close(): Promise<void>;
}

export interface FakeRequest {
  method: string;
  path: string;
  /** Names in lower case. */
  headers: Record<string, string>;
  body: string;
  socket: Socket;
}

export type FakeAnswer = (request: FakeRequest) => void;

/** Starts a fake engine on a free port of loopback. */
export async function startFakeEngine(answer: FakeAnswer = silent): Promise<FakeEngine> {
  const requests: FakeRequest[] = [];
  const sockets = new Set<Socket>();
  let current = answer;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    let pending: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      for (;;) {
        const taken = takeRequest(pending, socket);
        if (taken === null) return;
        pending = taken.rest;
        requests.push(taken.request);
        current(taken.request);
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: new URL(`http://127.0.0.1:${port}`),
    requests,
    sockets,
    answerWith: (next) => {
      current = next;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      const closed = once(server, "close");
      server.close();
      await closed;
    },
  };
}

function takeRequest(bytes: Buffer, socket: Socket): { request: FakeRequest; rest: Buffer } | null {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd === -1) return null;
  const [line = "", ...fields] = bytes.toString("latin1", 0, headEnd).split("\r\n");
  const [method = "", path = ""] = line.split(" ");
  const headers: Record<string, string> = {};
  for (const field of fields) {
    const colon = field.indexOf(":");
    headers[field.slice(0, colon).toLowerCase()] = field.slice(colon + 1).trim();
  }
  const bodyEnd = headEnd + 4 + Number(headers["content-length"] ?? 0);
  if (bytes.length < bodyEnd) return null;
  const body = bytes.toString("utf8", headEnd + 4, bodyEnd);
  return { request: { method, path, headers, body, socket }, rest: bytes.subarray(bodyEnd) };
}

/** Resolves when a connection is gone, politely or not. */
export function gone(socket: Socket | undefined): Promise<void> {
  if (socket === undefined) throw new Error("there is no such connection");
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once("close", () => resolve());
  });
}

/** Never answers. */
export function silent(_request: FakeRequest): void {}

/** A whole answer with a length. `fields` are further header lines, written as they are. */
export function answer(status: number, type: string, body: string, fields: readonly string[] = []): FakeAnswer {
  const head = [`HTTP/1.1 ${status} X`, `Content-Type: ${type}`, `Content-Length: ${Buffer.byteLength(body)}`, ...fields];
  return ({ socket }) => socket.write(`${head.join("\r\n")}\r\n\r\n${body}`);
}

/** Answers GETs from a reply file (see README.md beside this). */
export function answerFrom(replies: Readonly<Record<string, unknown>>): FakeAnswer {
  return (request) => {
    const reply = replies[request.path] ?? replies["$default"] ?? { $status: 404, $json: { detail: "Not Found" } };
    if (typeof reply === "string") return answer(200, "text/plain", reply)(request);
    const { $status = 200, $json = reply } = reply as { $status?: number; $json?: unknown };
    return answer($status, "application/json", JSON.stringify($json))(request);
  };
}

/** Writes bytes as they are. */
export function raw(bytes: string): FakeAnswer {
  return ({ socket }) => socket.write(bytes, "latin1");
}

/** Head of a chunked event stream. */
export const STREAM_HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/** One chunk of a chunked body. */
export function chunk(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}

/** End of a chunked body. */
export const LAST_CHUNK = "0\r\n\r\n";
