import { expect, test } from "vitest";
import {
  chatAnswer,
  chatEvent,
  chatStream,
  DONE,
  FINISH_EVENT,
  messagesEvents,
  ROLE_EVENT,
  sse,
} from "../test/answers.ts";
import { ask, cloudThenOwn, failureOf, servedBy } from "../test/ask.ts";
import { type Behave, startTarget } from "../test/target-server.ts";
import { createFailoverFetch, FAILOVER_BASE_URL } from "./index.ts";

const WORD = chatEvent({ content: "one" });
const OVERLOADED = `event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n`;

test("a stream reaches the caller byte for byte", async () => {
  await using cloud = await startTarget(chatStream(["one", "two"]));
  const { failover } = cloudThenOwn(cloud.url, cloud.url);
  const response = await ask(failover, { stream: true });
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  expect(await response.text()).toBe([ROLE_EVENT, WORD, chatEvent({ content: "two" }), FINISH_EVENT, DONE].join(""));
});

// Correction E8: the client of the guide could not stream at all, so nobody had to think about where an answer begins.
test.each<[string, Behave, string]>([
  ["is cut before anything", sse([], "cut"), "cut"],
  ["is cut after the role, before the first word", sse([ROLE_EVENT], "cut"), "cut"],
  ["ends after the role", sse([ROLE_EVENT]), "cut"],
  ["says [DONE] without an answer", sse([ROLE_EVENT, DONE]), "cut"],
  ["begins with an error of the server's", sse([OVERLOADED]), "said_error"],
  [
    "says an error after the role, and then [DONE]",
    sse([ROLE_EVENT, 'data: {"error":{"code":500}}\n\n', DONE]),
    "said_error",
  ],
])("a stream that %s makes the next target answer", async (_what, behave, reason) => {
  await using cloud = await startTarget(behave);
  await using own = await startTarget(chatStream(["from own"]));
  const failed: string[] = [];
  const { failover } = cloudThenOwn(cloud.url, own.url, { onFailedAttempt: (one) => failed.push(one.reason) });
  const response = await ask(failover, { stream: true });
  expect(servedBy(response)).toBe("own");
  expect(await response.text()).toContain("from own");
  expect(failed).toEqual([reason]);
});

test("a stream that begins with an error of the request's own is the answer", async () => {
  const refusal = 'data: {"error":{"type":"invalid_request_error","code":"context_length_exceeded"}}\n\n';
  await using cloud = await startTarget(sse([refusal]));
  const { failover } = cloudThenOwn(cloud.url, "http://127.0.0.1:9");
  const response = await ask(failover, { stream: true });
  expect(await response.text()).toBe(refusal);
});

test.each<[string, string[], Behave]>([
  ["before its headers", [], () => {}],
  ["after its headers", [], sse([], "silence")],
  ["after the role and comments", [], sse([": waiting\n\n", ROLE_EVENT, ": waiting\n\n"], "silence")],
])("a target that is silent %s is given up when the time to the first token is over", async (_when, _none, behave) => {
  await using cloud = await startTarget(behave);
  await using own = await startTarget(chatStream(["from own"]));
  const { failover, clock } = cloudThenOwn(cloud.url, own.url);
  const answer = ask(failover, { stream: true });
  const { gone } = await cloud.whenReceived(1);
  clock.advance(15_000);
  const response = await answer;
  expect(servedBy(response)).toBe("own");
  expect(response.headers.get("x-postern-client-attempts")).toBe("2");
  await gone;
  await response.text();
  expect(clock.pendingTimers).toBe(0);
});

test.each<[string, string, "end" | "cut"]>([
  ["is cut", "", "cut"],
  ["ends cleanly without a finish", "", "end"],
  ["says [DONE] without a finish", DONE, "end"],
  ["says an error and then [DONE]", `data: {"error":{"message":"engine died"}}\n\n${DONE}`, "end"],
])(
  "a stream that %s after its first word is an error to the reader, and no second answer is put behind it",
  async (_what, rest, then) => {
    let goOn = (): void => {};
    await using cloud = await startTarget((response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(ROLE_EVENT + WORD);
      goOn = () => void (then === "cut" ? response.destroy() : response.end(rest));
    });
    await using own = await startTarget(chatStream(["never"]));
    const { failover } = cloudThenOwn(cloud.url, own.url);
    const reader = (await ask(failover, { stream: true })).body!.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe(ROLE_EVENT + WORD);
    goOn();
    const seen: string[] = [];
    const error = await failureOf(readAll(reader, seen));
    // Never alone: a reader stops at [DONE] and is content.
    expect(seen).not.toContain(DONE);
    expect(error).toMatchObject({ code: "stream_broken", attempts: [{ target: "cloud", status: 200 }] });
    expect(own.connections).toBe(0);
  },
);

async function readAll(reader: ReadableStreamDefaultReader<Uint8Array>, seen: string[]): Promise<void> {
  for (let read = await reader.read(); !read.done; read = await reader.read())
    seen.push(new TextDecoder().decode(read.value));
}

test("a stream that falls silent after its first word is an error once the silence is too long", async () => {
  await using cloud = await startTarget(sse([ROLE_EVENT, WORD], "silence"));
  const { failover, clock } = cloudThenOwn(cloud.url, "http://127.0.0.1:9");
  const reader = (await ask(failover, { stream: true })).body!.getReader();
  await reader.read();
  const next = reader.read();
  await clock.whenTimer(60_000);
  clock.advance(60_000);
  expect((await failureOf(next)).attempts).toMatchObject([{ reason: "stalled" }]);
  await cloud.received[0]?.gone;
  expect(clock.pendingTimers).toBe(0);
});

test("a stream whose [DONE] alone is missing is whole", async () => {
  await using cloud = await startTarget(sse([ROLE_EVENT, WORD, FINISH_EVENT]));
  const { failover } = cloudThenOwn(cloud.url, "http://127.0.0.1:9");
  expect(await (await ask(failover, { stream: true })).text()).toBe(ROLE_EVENT + WORD + FINISH_EVENT);
});

test("an empty stream with a finish is an answer, and an event that is no JSON is the reader's to judge", async () => {
  await using cloud = await startTarget(sse([ROLE_EVENT, FINISH_EVENT, DONE]));
  await using own = await startTarget(chatAnswer("never"));
  const { failover } = cloudThenOwn(cloud.url, own.url);
  expect(servedBy(await ask(failover, { stream: true }))).toBe("cloud");
  cloud.behave = sse([ROLE_EVENT, "data: {broken\n\n", FINISH_EVENT, DONE]);
  expect(await (await ask(failover, { stream: true })).text()).toContain("{broken");
  expect(own.connections).toBe(0);
});

const ollamaLines =
  (lines: readonly unknown[]): Behave =>
  (response) => {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    response.end(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  };
const said = {
  message: { role: "assistant", content: "one", tool_calls: [{ function: { arguments: { done: true } } }] },
  done: false,
};

test.each<[string, string, Behave, boolean]>([
  ["ollama", "/api/chat", ollamaLines([said, { message: { content: "" }, done: true }]), true],
  // `"done":true` stands in the arguments of a tool, not at the end of the answer.
  ["ollama without done:true", "/api/chat", ollamaLines([said]), false],
  ["anthropic", "/v1/messages", sse(messagesEvents("one")), true],
  ["anthropic without message_stop", "/v1/messages", sse(messagesEvents("one").slice(0, 4)), false],
  [
    "responses",
    "/v1/responses",
    sse(['data: {"type":"response.output_text.delta","delta":"one"}\n\n', 'data: {"type":"response.completed"}\n\n']),
    true,
  ],
  [
    "responses without response.completed",
    "/v1/responses",
    sse(['data: {"type":"response.output_text.delta","delta":"one"}\n\n']),
    false,
  ],
  ["completions", "/v1/completions", sse(['data: {"choices":[{"text":"one","finish_reason":"stop"}]}\n\n']), true],
  [
    "completions without finish_reason",
    "/v1/completions",
    sse(['data: {"choices":[{"text":"one","finish_reason":null}]}\n\n']),
    false,
  ],
])("the end of a stream is proved by its dialect: %s", async (_name, path, behave, isWhole) => {
  await using own = await startTarget(behave);
  const failover = createFailoverFetch({ targets: [{ name: "own", baseUrl: own.url, locality: "own" }] });
  const response = await failover(`${FAILOVER_BASE_URL}${path}`, {
    method: "POST",
    body: '{"model":"m","stream":true}',
  });
  const text = response.text();
  if (isWhole) expect(await text).toContain("one");
  else expect((await failureOf(text)).code).toBe("stream_broken");
});
