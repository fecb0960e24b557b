import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { Secret } from "../lib/secret.ts";
import { type ChatAnswer, listModelNames, streamChat } from "./chat-stream.ts";

let server: Server | undefined;
afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((closed) => (server === undefined ? closed(null) : server.close(closed)));
  server = undefined;
});

async function serve(listener: RequestListener): Promise<string> {
  const listening = createServer(listener);
  server = listening;
  await new Promise<void>((ready) => listening.listen(0, "127.0.0.1", ready));
  return `http://127.0.0.1:${(listening.address() as AddressInfo).port}/v1`;
}

function ask(baseUrl: string, signal = new AbortController().signal): { texts: string[]; answer: Promise<ChatAnswer> } {
  const texts: string[] = [];
  const messages = [{ role: "user" as const, content: "Hello" }];
  const answer = streamChat({
    baseUrl,
    key: new Secret("pst_k"),
    model: "m",
    messages,
    signal,
    onText: (text) => texts.push(text),
  });
  return { texts, answer };
}

const event = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
const piece = (content: string): string => event({ choices: [{ delta: { content }, finish_reason: null }] });
const finish = event({ choices: [{ delta: {}, finish_reason: "stop" }] });

test("streamChat() gives each piece as it comes and the usage at the end, whatever the chunks", async () => {
  const usage = { prompt_tokens: 3, completion_tokens: 2 };
  const bytes = Buffer.from(
    `: keep-alive\n\n${piece("Grü")}${piece("ße")}${finish}${event({ choices: [], usage })}data: [DONE]\n\n`,
  );
  const baseUrl = await serve((request, response) => {
    expect(request.headers.authorization).toBe("Bearer pst_k");
    response.writeHead(200, {
      "content-type": "text/event-stream",
      "x-postern-served-by": "node/n",
      "x-request-id": "r1",
    });
    for (const byte of bytes) response.write(Buffer.of(byte));
    response.end();
  });
  const { texts, answer } = ask(baseUrl);
  expect(await answer).toEqual({ text: "Grüße", finishReason: "stop", servedBy: "node/n", requestId: "r1", usage });
  expect(texts).toEqual(["Grü", "ße"]);
});

test("streamChat() takes no truncated answer for a whole one", async () => {
  const baseUrl = await serve((_request, response) => response.end(piece("half")));
  await expect(ask(baseUrl).answer).rejects.toMatchObject({ code: "engine_cut" });
});

test("streamChat() gives the gateway's words, within the stream and before it", async () => {
  let calls = 0;
  const baseUrl = await serve((_request, response) => {
    if (calls++ === 0) response.end(`${piece("a")}${event({ error: { message: "the node went away" } })}`);
    else response.writeHead(401).end(JSON.stringify({ error: { message: "Incorrect API key provided" } }));
  });
  await expect(ask(baseUrl).answer).rejects.toThrow(/the node went away/);
  await expect(ask(baseUrl).answer).rejects.toMatchObject({
    code: "unauthorized",
    message: "Incorrect API key provided",
  });
});

test("streamChat() ends at once when it is cancelled, and the gateway sees the caller leave", async () => {
  const left = Promise.withResolvers<void>();
  const baseUrl = await serve((_request, response) => {
    response.write(piece("a"));
    response.on("close", () => left.resolve());
  });
  const cancel = new AbortController();
  const { answer } = ask(baseUrl, cancel.signal);
  const failed = expect(answer).rejects.toMatchObject({ name: "AbortError" });
  await new Promise<void>((connected) => server?.once("request", () => connected()));
  cancel.abort();
  await failed;
  await left.promise;
});

test("listModelNames() gives the names", async () => {
  const baseUrl = await serve((_request, response) =>
    response.end(JSON.stringify({ data: [{ id: "a" }, { id: "b/c" }] })),
  );
  const signal = new AbortController().signal;
  expect(await listModelNames({ baseUrl, key: new Secret("k"), signal })).toEqual(["a", "b/c"]);
});
