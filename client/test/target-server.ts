import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A request that a stand-in received, its body read. */
export interface Received {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  /** Resolves when the client has gone, or the answer has been sent. */
  gone: Promise<void>;
}

/** What a stand-in does with a request. It may answer, hang, or destroy the socket. */
export type Behave = (response: ServerResponse, request: Received) => void;

/**
 * A target that behaves as the test says, on loopback. A real server with real connections, but no inference server: it knows
 * no dialect, and what it answers was written for the test.
 */
export interface TargetServer extends AsyncDisposable {
  url: string;
  /** What it does from now on. */
  behave: Behave;
  /** Connections that were ever opened to it. */
  connections: number;
  received: Received[];
  /** Resolves when `count` requests have been received in all. */
  whenReceived(count: number): Promise<Received>;
}

/** Starts a stand-in on a free port. */
export async function startTarget(behave: Behave): Promise<TargetServer> {
  const waiting: Array<{ count: number; resolve: (request: Received) => void }> = [];
  const server = createServer((message, response) => {
    void receive(message, response).then((request) => {
      target.received.push(request);
      for (const { count, resolve } of waiting) if (target.received.length === count) resolve(request);
      target.behave(response, request);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const target: TargetServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    behave,
    connections: 0,
    received: [],
    whenReceived(count) {
      const there = target.received[count - 1];
      if (there !== undefined) return Promise.resolve(there);
      return new Promise((resolve) => waiting.push({ count, resolve }));
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  server.on("connection", () => {
    target.connections += 1;
  });
  return target;
}

/** A base URL where nothing listens. */
export async function refusingUrl(): Promise<string> {
  await using target = await startTarget(() => {});
  return target.url;
}

async function receive(message: IncomingMessage, response: ServerResponse): Promise<Received> {
  const gone = new Promise<void>((resolve) => response.on("close", resolve));
  let body = "";
  for await (const chunk of message.setEncoding("utf8")) body += chunk;
  return { method: message.method ?? "", path: message.url ?? "", headers: message.headers, body, gone };
}
