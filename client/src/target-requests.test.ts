import { expect, test } from "vitest";
import { chatAnswer, errorAnswer } from "../test/answers.ts";
import { ask, cloudThenOwn, failureOf } from "../test/ask.ts";
import { startTarget } from "../test/target-server.ts";
import { createFailoverFetch, FAILOVER_BASE_URL, type FailoverTarget, failoverErrorOf } from "./index.ts";

const SECRETS = {
  authorization: "Bearer callers-own-key",
  "x-api-key": "callers-own-key",
  "api-key": "callers-own-key",
  cookie: "session=callers-own-key",
  "openai-organization": "callers-own-key",
  "x-unknown-auth": "callers-own-key",
};

test("each target gets its own key and headers, never another's and never the caller's", async () => {
  await using cloud = await startTarget(errorAnswer(500, "server_error"));
  await using own = await startTarget(chatAnswer("from own"));
  const failover = createFailoverFetch({
    targets: [
      {
        name: "cloud",
        baseUrl: cloud.url,
        locality: "cloud",
        apiKey: () => "cloud-key",
        headers: { "OpenAI-Organization": "org" },
      },
      { name: "own", baseUrl: own.url, locality: "own", apiKey: "own-key", auth: "x-api-key" },
    ],
  });
  await ask(failover, {}, { headers: { ...SECRETS, "user-agent": "app/1", "x-stainless-lang": "js" } });
  expect(cloud.received[0]?.headers).toMatchObject({ authorization: "Bearer cloud-key", "openai-organization": "org" });
  expect(own.received[0]?.headers).toMatchObject({
    "x-api-key": "own-key",
    "user-agent": "app/1",
    "x-stainless-lang": "js",
  });
  expect(JSON.stringify(cloud.received[0]?.headers)).not.toMatch(/callers-own-key|own-key/);
  expect(JSON.stringify(own.received[0]?.headers)).not.toMatch(/callers-own-key|cloud-key|org"/);
});

test("only the top-level model is written anew, and every other byte of the body stays", async () => {
  await using cloud = await startTarget(errorAnswer(500, "server_error"));
  await using own = await startTarget(chatAnswer("from own"));
  const { failover } = cloudThenOwn(cloud.url, own.url);
  const body =
    ' {"seed":12345678901234567890, "mod\\u0065l" : "gpt-5","tools":[{"model":"gpt-5"}],"a":"\\\\\\"model\\":"}';
  await ask(failover, {}, { body });
  expect(cloud.received[0]?.body).toBe(body);
  expect(own.received[0]?.body).toBe(body.replace('"gpt-5","tools"', '"llama3.1:8b","tools"'));
});

test('"*" maps every other model; a body in bytes or a Request is sent again to the second target', async () => {
  await using own = await startTarget(chatAnswer("from own"));
  const failover = createFailoverFetch({
    targets: [
      { name: "away", baseUrl: "http://127.0.0.1:9", locality: "own" },
      { name: "own", baseUrl: own.url, locality: "own", models: { "*": "local", kept: "kept" } },
    ],
  });
  const send = (model: string) =>
    new Request(`${FAILOVER_BASE_URL}/chat/completions?n=1`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model }),
    });
  await failover(send("anything"));
  await failover(send("kept"));
  await ask(failover, {}, { body: new TextEncoder().encode('{"model":"bytes"}') });
  expect(own.received.map(({ body }) => body)).toEqual(['{"model":"local"}', '{"model":"kept"}', '{"model":"local"}']);
  expect(own.received[0]?.path).toBe("/chat/completions?n=1");
});

test.each([
  "https://example.com/v1/chat/completions",
  "https://failover.invalid.example.com/x",
  "https://api.openai.com/v2/x",
])("a request for %s, below none of the base URLs, goes nowhere", async (url) => {
  await using own = await startTarget(chatAnswer("leaked"));
  const { failover } = cloudThenOwn(own.url, own.url);
  expect((await failureOf(failover(url, { method: "POST", body: "{}" }))).code).toBe("bad_request");
  expect(own.connections).toBe(0);
});

test("the base URLs of the SDKs are known", async () => {
  await using own = await startTarget(chatAnswer("from own"));
  const { failover } = cloudThenOwn(own.url, own.url);
  await failover("https://api.openai.com/v1/models");
  await failover("https://api.anthropic.com/v1/messages", { method: "POST", body: "{}" });
  expect(own.received.map(({ path }) => path)).toEqual(["/v1/models", "/v1/v1/messages"]);
});

test("a key that cannot be read or sent fails its target without a word of it", async () => {
  await using own = await startTarget(chatAnswer("from own"));
  const failover = createFailoverFetch({
    targets: [
      { name: "broken", baseUrl: own.url, locality: "own", apiKey: () => "secret\nwith a line" },
      {
        name: "throws",
        baseUrl: own.url,
        locality: "own",
        apiKey: () => {
          throw new Error("secret");
        },
      },
    ],
  });
  const error = await failureOf(ask(failover));
  expect(error.attempts).toMatchObject([{ reason: "bad_key" }, { reason: "bad_key" }]);
  expect(`${error.stack}${JSON.stringify(error)}`).not.toContain("secret");
  expect(own.connections).toBe(0);
});

test("createFailoverFetch() names every fault of its options, and no key", () => {
  const bad = [
    { name: "a b", baseUrl: "https://user:secret-1@host/v1", locality: "own" },
    { name: "cloud", baseUrl: "http://cloud.example/v1", locality: "cloud", apiKey: "secret-2 " },
    {
      name: "cloud",
      baseUrl: "ftp://x",
      locality: "elsewhere",
      times: { totalMs: 0, total: 1 },
      headers: { "x y": "secret-3" },
    },
  ] as unknown[] as FailoverTarget[];
  let message = "";
  try {
    createFailoverFetch({ targets: bad, forwardHeaders: ["Authorization"] });
  } catch (error) {
    message = failoverErrorOf(error)?.message ?? "";
  }
  for (const word of [
    "different names",
    "[0].name",
    "[0].baseUrl",
    "must be https",
    "[1].apiKey",
    "[2].baseUrl",
    "[2].locality",
    "totalMs",
    '"targets[2].times.total"',
    "[2].headers",
    "Authorization",
  ]) {
    expect(message).toContain(word);
  }
  expect(message).not.toContain("secret");
});
