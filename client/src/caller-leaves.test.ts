import { expect, test } from "vitest";
import { chatEvent, ROLE_EVENT, sse } from "../test/answers.ts";
import { ask, cloudThenOwn } from "../test/ask.ts";
import { startTarget } from "../test/target-server.ts";

test("a caller that leaves cancels the attempt in flight at once, and no second target is asked", async () => {
  await using cloud = await startTarget(() => {});
  await using own = await startTarget(() => {});
  const { failover, clock } = cloudThenOwn(cloud.url, own.url);
  const controller = new AbortController();
  const answer = ask(failover, {}, { signal: controller.signal });
  const { gone } = await cloud.whenReceived(1);
  const reason = new Error("the user pressed stop");
  controller.abort(reason);
  await expect(answer).rejects.toBe(reason);
  await gone;
  expect(own.connections).toBe(0);
  expect(clock.pendingTimers).toBe(0);
  // Leaving says nothing about the target.
  expect(failover.status()[0]?.breaker).toBe("closed");
});

test("a caller that left before it asked opens no connection", async () => {
  await using cloud = await startTarget(() => {});
  const { failover } = cloudThenOwn(cloud.url, cloud.url);
  await expect(ask(failover, {}, { signal: AbortSignal.abort(new Error("gone")) })).rejects.toThrow("gone");
  expect(cloud.connections).toBe(0);
});

test.each(["signal", "cancel"])(
  "a caller that leaves a stream (%s) ends it at the target, and nobody is blamed",
  async (how) => {
    await using cloud = await startTarget(sse([ROLE_EVENT, chatEvent({ content: "one" })], "silence"));
    const failed: unknown[] = [];
    const { failover, clock } = cloudThenOwn(cloud.url, cloud.url, { onFailedAttempt: (one) => failed.push(one) });
    const controller = new AbortController();
    const reader = (await ask(failover, { stream: true }, { signal: controller.signal })).body!.getReader();
    await reader.read();
    if (how === "cancel") await reader.cancel();
    else {
      const next = reader.read();
      controller.abort(new Error("stopped"));
      await expect(next).rejects.toThrow("stopped");
    }
    await cloud.received[0]?.gone;
    expect(failed).toEqual([]);
    expect(clock.pendingTimers).toBe(0);
  },
);

test("a fetch that does not listen to its signal cannot hold the caller", async () => {
  const { failover } = cloudThenOwn("http://127.0.0.1:9", "http://127.0.0.1:9", { fetch: () => new Promise(() => {}) });
  const controller = new AbortController();
  const answer = ask(failover, {}, { signal: controller.signal });
  setImmediate(() => controller.abort(new Error("stopped")));
  await expect(answer).rejects.toThrow("stopped");
});
