import { expect, test } from "vitest";
import { chatAnswer, errorAnswer } from "../test/answers.ts";
import { ask, cloudThenOwn, contentOf, failureOf, servedBy } from "../test/ask.ts";
import { startTarget } from "../test/target-server.ts";
import { createFailoverFetch, type FailoverFetch } from "./index.ts";

/** The three ways to bind a request to one's own targets. */
const WAYS: ReadonlyArray<[string, boolean, (failover: FailoverFetch) => Promise<Response>]> = [
  ["by option", true, (failover) => ask(failover)],
  ["by its fetch", false, (failover) => ask(failover.localOnly)],
  ["by header", false, (failover) => ask(failover, {}, { headers: { "X-Postern-Policy": "local-only" } })],
];

// Correction E9: the "contingency mode" of the guide called the cloud when its own server failed, in the very case that it
// was recommended for: data that must not leave.
test.each(WAYS)(
  "a local-only request (%s) opens no connection to the cloud, whatever its own target does",
  async (_way, localOnly, send) => {
    await using cloud = await startTarget(chatAnswer("leaked"));
    await using own = await startTarget(chatAnswer("from own"));
    const { failover } = cloudThenOwn(cloud.url, own.url, { localOnly });
    expect(await contentOf(await send(failover))).toBe("from own");
    for (const behave of [errorAnswer(500, "server_error"), errorAnswer(429, "busy", { "retry-after": "1" })]) {
      own.behave = behave;
      const error = await failureOf(send(failover));
      expect(error.attempts.map(({ target }) => target)).toEqual(["own"]);
    }
    own.behave = (response) => response.destroy();
    for (let times = 0; times < 5; times += 1) expect((await failureOf(send(failover))).code).toBe("all_failed");
    expect(cloud.connections).toBe(0);
  },
);

test("a local-only request with no target of one's own has no target, and says so", async () => {
  await using cloud = await startTarget(chatAnswer("leaked"));
  const failover = createFailoverFetch({
    targets: [{ name: "cloud", baseUrl: cloud.url, locality: "cloud" }],
    localOnly: true,
  });
  expect(await failureOf(ask(failover))).toMatchObject({ code: "no_target", attempts: [] });
  expect(cloud.connections).toBe(0);
});

test("a local-only request tells the target, so that a gateway there keeps to it too; another value is refused", async () => {
  await using own = await startTarget(chatAnswer("from own"));
  const { failover } = cloudThenOwn("http://127.0.0.1:9", own.url);
  await ask(failover.localOnly);
  expect(own.received[0]?.headers["x-postern-policy"]).toBe("local-only");
  const error = await failureOf(ask(failover, {}, { headers: { "x-postern-policy": "anything" } }));
  expect(error.code).toBe("bad_request");
});

// An Ollama of one's own hands such a model on to its maker's cloud.
test.each(["gpt-oss:120b-cloud", "qwen3-coder:cloud"])("a local-only request is not sent for %s", async (model) => {
  await using own = await startTarget(chatAnswer("leaked"));
  const { failover } = cloudThenOwn("http://127.0.0.1:9", own.url);
  const error = await failureOf(ask(failover.localOnly, { model }));
  expect(error).toMatchObject({ code: "no_target", skipped: [{ target: "own", why: "model_leaves" }] });
  expect(own.connections).toBe(0);
});

test("contingency is switched while the program runs, skips the cloud, and never falls through to it", async () => {
  await using cloud = await startTarget(chatAnswer("from cloud"));
  await using own = await startTarget(chatAnswer("from own"));
  const served: unknown[] = [];
  const { failover, clock } = cloudThenOwn(cloud.url, own.url, { onServed: (one) => served.push(one.isContingency) });
  expect(servedBy(await ask(failover))).toBe("cloud");
  const before = cloud.connections;

  failover.contingency.on({ reason: "announced outage", forMs: 60_000 });
  expect(failover.contingency.reason).toBe("announced outage");
  expect(servedBy(await ask(failover))).toBe("own");
  own.behave = errorAnswer(500, "server_error");
  const error = await failureOf(ask(failover));
  expect(error.skipped).toEqual([{ target: "cloud", why: "contingency" }]);
  expect(cloud.connections).toBe(before);
  expect(cloud.received.length).toBe(1);

  clock.advance(60_000);
  expect(failover.contingency.isOn).toBe(false);
  expect(servedBy(await ask(failover))).toBe("cloud");
  failover.contingency.on();
  failover.contingency.off();
  expect(servedBy(await ask(failover))).toBe("cloud");
  expect(served).toEqual([false, true, false, false]);
});

test("contingency that is switched on while a target is tried keeps the next attempt from the cloud", async () => {
  await using cloud = await startTarget(chatAnswer("leaked"));
  await using own = await startTarget((response) => {
    failover.contingency.on();
    response.destroy();
  });
  const failover = createFailoverFetch({
    targets: [
      { name: "own", baseUrl: own.url, locality: "own" },
      { name: "cloud", baseUrl: cloud.url, locality: "cloud" },
    ],
  });
  expect((await failureOf(ask(failover))).code).toBe("all_failed");
  expect(cloud.connections).toBe(0);
});
