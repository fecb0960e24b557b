import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Ollama } from "ollama";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PosternError } from "../../errors.ts";
import { scanBody } from "../../lib/json-scan.ts";
import { codecFor } from "../codecs.ts";
import type { AnswerContext } from "../conversation.ts";
import type { ListedModel } from "../listed-model.ts";
import { type FixtureName, readFixture } from "./__fixtures__/fixture.ts";
import { ollamaChatConversation } from "./conversation.ts";
import { loadAnswer } from "./load-request.ts";
import { ollamaPs, ollamaShow, ollamaTags, ollamaVersion } from "./model-bodies.ts";

// Ollama's own client against the bytes that these modules write, without a gateway around them.

const MODEL: ListedModel = {
  id: "qwen3:8b",
  createdAtMs: 0,
  contextLength: 40_960,
  sizeBytes: 1,
  quantization: "Q4_K_M",
  capabilities: ["completion"],
  isLoaded: true,
};
const CONTEXT: AnswerContext = { id: "x", model: "m", createdAtMs: 0, wantsUsage: true, estimatedTokensIn: 0 };
const BODIES: Record<string, () => Buffer> = {
  "/api/tags": () => ollamaTags([MODEL]),
  "/api/ps": () => ollamaPs([MODEL]),
  "/api/show": () => ollamaShow(MODEL),
  "/api/version": ollamaVersion,
};
const chat = codecFor("ollama.chat");

let server: Server;
let client: Ollama;
/** What the next stream consists of. */
let streamed: readonly (string | Buffer)[] = [];
let asked = "";

beforeAll(async () => {
  server = createServer(serve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  client = new Ollama({ host: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
});

afterAll(() => new Promise<void>((resolve) => server.close(() => resolve())));

function serve(request: IncomingMessage, response: ServerResponse): void {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    asked = Buffer.concat(chunks).toString();
    const body = BODIES[request.url ?? ""];
    if (body !== undefined) return response.writeHead(200, { "content-type": "application/json" }).end(body());
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    for (const chunk of streamed) response.write(chunk);
    response.end();
  });
}

/** A transcript as it leaves the tap, with a keep-alive before it and one in its middle. */
function passed(name: FixtureName): Buffer[] {
  const tap = chat.tap(
    { model: "m", isStream: true, wantsUsage: true, hasManyChoices: false, removedFields: [], clampedFields: [] },
    0,
  );
  const facts = chat.inspect(scanBody(Buffer.from('{"model":"llama3","messages":[]}')));
  const bytes = readFixture(name);
  const ping = chat.keepAlive(facts, 0);
  const middle = bytes.length >> 1;
  const out = [ping, tap.push(bytes.subarray(0, middle)), ping, tap.push(bytes.subarray(middle))];
  const tail = tap.finish();
  return tail === null ? out : [...out, tail];
}

async function collect(): Promise<{ text: string; thinking: string; calls: unknown[]; last: Record<string, unknown> }> {
  let text = "";
  let thinking = "";
  const calls: unknown[] = [];
  let last: object = {};
  for await (const part of await client.chat({
    model: "llama3",
    messages: [{ role: "user", content: "hi" }],
    stream: true,
  })) {
    text += part.message.content;
    thinking += part.message.thinking ?? "";
    calls.push(...(part.message.tool_calls ?? []));
    last = part;
  }
  return { text, thinking, calls, last: { ...last } };
}

describe("the ollama package", () => {
  test("reads a stream that passed through, keep-alives and all", async () => {
    streamed = passed("chat-thinking");
    const { text, thinking, last } = await collect();
    expect({ text, thinking }).toEqual({ text: "Blue.", thinking: "The sky is blue" });
    expect(last).toMatchObject({ done: true, prompt_eval_count: 29, eval_count: 4 });
  });

  test("throws what the engine said in the middle", async () => {
    streamed = passed("chat-error");
    await expect(collect()).rejects.toThrow("model runner has unexpectedly stopped");
  });

  test("throws our own words, and when there are none that the stream was cut", async () => {
    streamed = [...passed("chat-text").slice(0, 2), chat.inBandError(new PosternError("engine_cut"), CONTEXT)];
    await expect(collect()).rejects.toThrow("The answer ended before it was complete");
    streamed = passed("chat-text").slice(0, 2);
    await expect(collect()).rejects.toThrow("Did not receive done");
  });

  test("reads a translated stream with calls", async () => {
    const writer = ollamaChatConversation.writer(CONTEXT);
    streamed = [
      writer.write({ type: "text", text: "I look. " }),
      writer.keepAlive(0),
      writer.write({ type: "tool_start", index: 0, id: "a", name: "get_weather" }),
      writer.write({ type: "tool_arguments", index: 0, json: '{"city":"Paris"}' }),
      writer.write({ type: "finish", reason: "tool_calls", stopSequence: null }),
      writer.end(),
    ];
    const { text, calls, last } = await collect();
    expect(text).toBe("I look. ");
    expect(calls).toEqual([{ id: "a", function: { index: 0, name: "get_weather", arguments: { city: "Paris" } } }]);
    expect(last).toMatchObject({ done: true, done_reason: "stop" });
  });

  test("sends requests that are read without a loss", async () => {
    streamed = [loadAnswer("chat", "llama3", 0)];
    const options = { temperature: 0, num_ctx: 8192, stop: ["x"] };
    await client.chat({
      model: "llama3",
      messages: [{ role: "user", content: "hi" }],
      options,
      think: "low",
      format: "json",
    });
    const scan = scanBody(Buffer.from(asked));
    const facts = chat.inspect(scan);
    expect(facts).toMatchObject({ model: "llama3", isStream: false, removedFields: [], clampedFields: [] });
    expect(ollamaChatConversation.readRequest(JSON.parse(asked), { remoteMedia: false })).toMatchObject({
      isStream: false,
      stop: ["x"],
      reasoning: { effort: "low" },
      format: { kind: "json" },
    });
  });

  test("reads the lists", async () => {
    expect((await client.list()).models[0]).toMatchObject({
      name: "qwen3:8b",
      details: { quantization_level: "Q4_K_M" },
    });
    expect((await client.ps()).models[0]).toMatchObject({ model: "qwen3:8b" });
    expect((await client.show({ model: "qwen3:8b" })).capabilities).toEqual(["completion"]);
    expect((await client.version()).version).toBe("0.33.0");
  });
});
