import { expect, test } from "vitest";
import { chatAnswer, chatEvent, errorAnswer, ROLE_EVENT, sse } from "../test/answers.ts";
import { ask, cloudThenOwn, contentOf, failureOf, servedBy } from "../test/ask.ts";
import { startTarget } from "../test/target-server.ts";
import { TestClock } from "../test/test-clock.ts";
import { Breaker } from "./breaker.ts";

// Correction E11: "automatic failover in milliseconds" waited 15 s in every request of an outage.
test("a target that cost one request its wait costs the next ones nothing: no connection and no time", async () => {
  await using cloud = await startTarget(() => {});
  await using own = await startTarget(chatAnswer("from own"));
  const { failover, clock } = cloudThenOwn(cloud.url, own.url);
  const first = ask(failover);
  await cloud.whenReceived(1);
  clock.advance(60_000);
  expect(servedBy(await first)).toBe("own");
  const before = cloud.connections;
  // The clock stands still: a request that waited for the cloud would never end.
  for (let times = 0; times < 20; times += 1) {
    const response = await ask(failover);
    expect(await contentOf(response)).toBe("from own");
    expect(response.headers.get("x-postern-client-attempts")).toBe("1");
  }
  expect(cloud.connections).toBe(before);
  expect(failover.status()).toMatchObject([
    { target: "cloud", breaker: "open", retryInMs: 30_000 },
    { target: "own", breaker: "closed", retryInMs: 0 },
  ]);
});

test("fast failures open a breaker at the third in a row; it is tried again, and closed by two answers", async () => {
  await using cloud = await startTarget(errorAnswer(500, "server_error"));
  await using own = await startTarget(chatAnswer("from own"));
  const { failover, clock } = cloudThenOwn(cloud.url, own.url);
  for (let times = 0; times < 5; times += 1) expect(servedBy(await ask(failover))).toBe("own");
  expect(cloud.received.length).toBe(3);
  clock.advance(30_000);
  await ask(failover);
  expect(cloud.received.length).toBe(4);
  // The trial failed: twice as long from here.
  clock.advance(59_999);
  await ask(failover);
  expect(cloud.received.length).toBe(4);
  clock.advance(1);
  cloud.behave = chatAnswer("from cloud");
  expect(servedBy(await ask(failover))).toBe("cloud");
  expect(failover.status()[0]?.breaker).toBe("half-open");
  expect(servedBy(await ask(failover))).toBe("cloud");
  expect(failover.status()[0]?.breaker).toBe("closed");
});

test("Retry-After opens a breaker at once, for that long and no longer than five minutes", async () => {
  await using cloud = await startTarget(errorAnswer(429, "rate_limit_exceeded", { "retry-after": "2" }));
  await using own = await startTarget(chatAnswer("from own"));
  const { failover, clock } = cloudThenOwn(cloud.url, own.url);
  await ask(failover);
  expect(failover.status()[0]).toMatchObject({ breaker: "open", retryInMs: 2000 });
  clock.advance(2000);
  cloud.behave = errorAnswer(429, "rate_limit_exceeded", { "retry-after": "99999999" });
  await ask(failover);
  expect(failover.status()[0]?.retryInMs).toBe(300_000);
});

test("when all targets are known to be down, the one that is due first is tried all the same", async () => {
  await using cloud = await startTarget(errorAnswer(429, "busy", { "retry-after": "10" }));
  await using own = await startTarget(errorAnswer(429, "busy", { "retry-after": "5" }));
  const { failover } = cloudThenOwn(cloud.url, own.url);
  await failureOf(ask(failover));
  own.behave = chatAnswer("from own");
  expect(servedBy(await ask(failover))).toBe("own");
  expect(cloud.received.length).toBe(1);
});

test("streams that always break open the breaker, although each had begun", async () => {
  await using cloud = await startTarget(sse([ROLE_EVENT, chatEvent({ content: "one" })], "cut"));
  await using own = await startTarget(chatAnswer("from own"));
  const { failover } = cloudThenOwn(cloud.url, own.url);
  for (let times = 0; times < 3; times += 1) await failureOf(ask(failover, { stream: true }).then((one) => one.text()));
  expect(servedBy(await ask(failover))).toBe("own");
});

test("a health check's word opens and closes a breaker", async () => {
  await using cloud = await startTarget(chatAnswer("from cloud"));
  await using own = await startTarget(chatAnswer("from own"));
  const { failover } = cloudThenOwn(cloud.url, own.url);
  failover.reportHealth("cloud", false);
  expect(servedBy(await ask(failover))).toBe("own");
  expect(cloud.connections).toBe(0);
  failover.reportHealth("cloud", true);
  expect(servedBy(await ask(failover))).toBe("cloud");
  expect(() => failover.reportHealth("nobody", true)).toThrow(/no target is called/);
});

test("Breaker lets one request at a time try a target that may be back, and fifty failures together open it once", () => {
  const clock = new TestClock();
  const breaker = new Breaker(clock, () => 0);
  const trials = Array.from({ length: 50 }, () => breaker.begin());
  for (const trial of trials) trial.failed({ opensNow: false, forMs: null });
  expect(breaker.retryInMs).toBe(30_000);
  clock.advance(30_000);
  expect(breaker.canTry).toBe(true);
  const trial = breaker.begin();
  expect(breaker.canTry).toBe(false);
  trial.left();
  trial.failed({ opensNow: true, forMs: null });
  expect(breaker.canTry).toBe(true);
});

test("Breaker waits up to a fifth longer, by chance, and never less than it was told", () => {
  const clock = new TestClock();
  const breaker = new Breaker(clock, () => 0.5);
  breaker.begin().failed({ opensNow: false, forMs: 10_000 });
  expect(breaker.retryInMs).toBeCloseTo(11_000);
});
