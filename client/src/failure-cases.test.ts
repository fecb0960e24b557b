import { expect, test } from "vitest";
import { chatAnswer, errorAnswer, json } from "../test/answers.ts";
import { ask, cloudThenOwn, contentOf, failureOf, servedBy } from "../test/ask.ts";
import { type Behave, refusingUrl, startTarget } from "../test/target-server.ts";

// Correction E8: the client of the guide fell back on every status but 200, against its own text. A second target then got
// requests that no target can answer, and the caller never saw why.
test.each([
  [400, "invalid_request"],
  [400, "context_length_exceeded"],
  [400, "content_policy_violation"],
  [401, "invalid_api_key"],
  [403, "forbidden"],
  [404, "model_not_found"],
  [413, "request_too_large"],
  [422, "unprocessable"],
])("a %i %s of the request itself is the answer, and no second target is asked", async (status, code) => {
  await using cloud = await startTarget(errorAnswer(status, code));
  await using own = await startTarget(chatAnswer("never"));
  const response = await ask(cloudThenOwn(cloud.url, own.url).failover);
  expect(response.status).toBe(status);
  expect(await response.json()).toMatchObject({ error: { code } });
  expect(servedBy(response)).toBe("cloud");
  expect(own.connections).toBe(0);
});

// Also E8: the guide's client took an empty answer for a failure.
test("an empty answer is an answer", async () => {
  await using cloud = await startTarget(chatAnswer(""));
  await using own = await startTarget(chatAnswer("never"));
  const response = await ask(cloudThenOwn(cloud.url, own.url).failover);
  expect(await contentOf(response)).toBe("");
  expect(own.connections).toBe(0);
});

const cutMidway: Behave = (response) => {
  response.writeHead(200, { "content-type": "application/json", "content-length": "100" });
  response.write('{"choices":[', () => response.destroy());
};
/** Nobody said how long the answer is: the connection ends well, and the answer does not. */
const cutUnseen: Behave = (response) => {
  response.shouldKeepAlive = false;
  response.useChunkedEncodingByDefault = false;
  response.writeHead(200, { "content-type": "application/json", connection: "close" });
  response.end('{"choices":[');
};

test.each<[string, Behave, string, number | null]>([
  ["a reset before the headers", (response) => response.destroy(), "unreachable", null],
  ["a 500", errorAnswer(500, "server_error"), "status", 500],
  ["a 503", errorAnswer(503, "overloaded"), "status", 503],
  ["a 529", errorAnswer(529, "overloaded"), "status", 529],
  ["a 408", errorAnswer(408, "late"), "status", 408],
  ["a 429", errorAnswer(429, "rate_limit_exceeded"), "status", 429],
  ["a redirect", json(307, {}, { location: "http://127.0.0.1:9/" }), "redirect", 307],
  ["a login page", json(200, "<html>", { "content-type": "text/html; charset=utf-8" }), "bad_answer", 200],
  ["an answer cut within its length", cutMidway, "cut", 200],
  ["an answer without a length that is not whole", cutUnseen, "cut", 200],
])("%s makes the next target answer", async (_what, behave, reason, status) => {
  await using cloud = await startTarget(behave);
  await using own = await startTarget(chatAnswer("from own"));
  const told: unknown[] = [];
  const { failover } = cloudThenOwn(cloud.url, own.url, { onServed: (served) => told.push(served) });
  const response = await ask(failover);
  expect(await contentOf(response)).toBe("from own");
  expect(servedBy(response)).toBe("own");
  expect(response.headers.get("x-postern-client-attempts")).toBe("2");
  expect(told).toMatchObject([{ target: "own", locality: "own", failed: [{ target: "cloud", reason, status }] }]);
  expect(cloud.received.length).toBe(1);
});

test("a refused connection makes the next target answer", async () => {
  await using own = await startTarget(chatAnswer("from own"));
  const failed: unknown[] = [];
  const { failover } = cloudThenOwn(await refusingUrl(), own.url, {
    onFailedAttempt: (failure) => failed.push(failure),
  });
  expect(servedBy(await ask(failover))).toBe("own");
  expect(failed).toMatchObject([{ target: "cloud", reason: "unreachable", systemCode: "ECONNREFUSED" }]);
});

// Also E8: the limit of the guide's client began anew with every byte, so that a drip kept it waiting for ever.
test("the limit is on the whole answer: one that drips is given up, its connection closed, and the next target answers", async () => {
  await using cloud = await startTarget((response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.write('{"choices":');
  });
  await using own = await startTarget(chatAnswer("from own"));
  const { failover, clock } = cloudThenOwn(cloud.url, own.url);
  const answer = ask(failover);
  const { gone } = await cloud.whenReceived(1);
  clock.advance(30_000);
  clock.advance(30_000);
  expect(servedBy(await answer)).toBe("own");
  await gone;
  expect(clock.pendingTimers).toBe(0);
});

test("when every target fails the error is one of a kind, names each attempt, and nothing that is secret", async () => {
  await using cloud = await startTarget(errorAnswer(429, "rate_limit_exceeded", { "retry-after": "7" }));
  const { failover } = cloudThenOwn(cloud.url, await refusingUrl());
  const error = await failureOf(ask(failover, { messages: [{ role: "user", content: "my secret" }] }));
  expect(error.code).toBe("all_failed");
  expect(error.attempts).toMatchObject([
    { target: "cloud", reason: "status", status: 429, retryAfterMs: 7000 },
    { target: "own", reason: "unreachable", status: null },
  ]);
  const seen = `${error.message}${JSON.stringify(error)}${error.stack}`;
  expect(seen).not.toMatch(/my secret|cloud-key|own-key|127\.0\.0\.1:/);
});

test("a callback that throws costs the caller nothing", async () => {
  await using own = await startTarget(chatAnswer("from own"));
  const fail = (): void => {
    throw new Error("broken callback");
  };
  const { failover } = cloudThenOwn(await refusingUrl(), own.url, { onServed: fail, onFailedAttempt: fail });
  expect(await contentOf(await ask(failover))).toBe("from own");
});
