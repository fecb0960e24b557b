import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";

/** What a stand-in was asked. */
export interface AskedProvider {
  method: string;
  /** With its query. */
  url: string;
  headers: IncomingHttpHeaders;
  body: string;
}

/** A cloud of the test's own on loopback. Differs from the real ones in that it says what the test tells it, and checks no key. */
export interface StandInProvider {
  origin: string;
  /** Connections that were ever opened to it, with or without a request. */
  readonly connections: number;
  readonly asked: readonly AskedProvider[];
  /** Called for each request once its body is whole. Replace it at will. */
  answer(request: AskedProvider, response: ServerResponse): void;
  close(): Promise<void>;
}

/** Starts one that answers `OpenAI` chats. @param tls Certificate and key in PEM; plain HTTP where left out. */
export async function startStandInProvider(tls?: { cert: string; key: string }): Promise<StandInProvider> {
  const asked: AskedProvider[] = [];
  let connections = 0;
  const server = tls === undefined ? createServer() : createTlsServer(tls);
  server.on("connection", () => {
    connections += 1;
  });
  server.on("request", (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { method = "", url = "", headers } = request;
      const one = { method, url, headers, body: Buffer.concat(chunks).toString("utf8") };
      asked.push(one);
      provider.answer(one, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const provider: StandInProvider = {
    origin: `${tls === undefined ? "http" : "https"}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get connections() {
      return connections;
    },
    asked,
    answer: (request, response) => {
      const { stream } = JSON.parse(request.body) as { stream?: boolean };
      if (stream === true) response.writeHead(200, { "content-type": "text/event-stream" }).end(CHAT_STREAM);
      else sendJson(response, 200, CHAT_ANSWER);
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return provider;
}

/** Sends JSON, with whatever else a cloud says in its head. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

const USAGE = { prompt_tokens: 1000, completion_tokens: 100, total_tokens: 1100 };

/** A whole chat of OpenAI's shape: 1,000 tokens in, 100 out. */
export const CHAT_ANSWER = {
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1,
  model: "cloud-model",
  choices: [{ index: 0, message: { role: "assistant", content: "from the cloud" }, finish_reason: "stop" }],
  usage: USAGE,
};

const CHUNK = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "cloud-model" };
const CHAT_STREAM = [
  { ...CHUNK, choices: [{ index: 0, delta: { role: "assistant", content: "from the cloud" }, finish_reason: null }] },
  { ...CHUNK, choices: [{ index: 0, delta: {}, finish_reason: "stop" }] },
  { ...CHUNK, choices: [], usage: USAGE },
]
  .map((record) => `data: ${JSON.stringify(record)}\n\n`)
  .join("")
  .concat("data: [DONE]\n\n");

/** A whole message of Anthropic's shape: 1,000 tokens in, 100 out. */
export const MESSAGE_ANSWER = {
  id: "msg_1",
  type: "message",
  role: "assistant",
  model: "cloud-model",
  content: [{ type: "text", text: "from the cloud" }],
  stop_reason: "end_turn",
  stop_sequence: null,
  usage: { input_tokens: 1000, output_tokens: 100 },
};
