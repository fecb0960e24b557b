import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";

/** What a receiver was sent. */
export interface Received {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  json<T>(): T;
}

/** An answer of a receiver; `hang`: none, the connection stays open. */
export type ReceiverAnswer = number | { status: number; headers: Record<string, string> } | "hang";

/** A server that takes what alerts and heartbeats send, keeps it, and answers as it was told. */
export interface Receiver {
  url: string;
  received: Received[];
  /** The next answers, in order; after them 200. */
  answers: ReceiverAnswer[];
  /** Resolves when so many have come. */
  got(count: number): Promise<Received[]>;
  close(): Promise<void>;
}

export async function startReceiver(tls?: { cert: string; key: string }): Promise<Receiver> {
  const received: Received[] = [];
  const answers: ReceiverAnswer[] = [];
  let wake: () => void = () => {};
  const server: Server = tls === undefined ? createServer() : createTlsServer(tls);
  server.on("request", (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString("utf8");
      const { method = "", url: path = "", headers } = request;
      received.push({ method, path, headers, body, json: <T>() => JSON.parse(body) as T });
      const answer = answers.shift() ?? 200;
      if (answer === "hang") response.on("error", () => {});
      else if (typeof answer === "number") response.writeHead(answer).end("answered");
      else response.writeHead(answer.status, answer.headers).end();
      wake();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    received,
    answers,
    async got(count) {
      while (received.length < count) await new Promise<void>((resolve) => (wake = resolve));
      return received;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
