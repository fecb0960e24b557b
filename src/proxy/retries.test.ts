import { afterEach, describe, expect, it } from "vitest";
import { chatAnswer, chatBody, chatRequest } from "../../test/support/chat.ts";
import { type DataPlane, type DataPlaneOptions, startDataPlane } from "../../test/support/data-plane.ts";
import type { PlayedAttempt, PlayedTarget } from "../../test/support/played-target.ts";

let plane: DataPlane;
afterEach(() => plane.close());

const TOO_LONG = { error: { message: "too long", code: "context_length_exceeded", type: "invalid_request_error" } };

/** A model on nodes that are asked in this order. */
async function start(nodes: string[], options: DataPlaneOptions = {}): Promise<PlayedTarget[]> {
  plane = await startDataPlane(options);
  const targets = plane.serve("llama", ...nodes);
  targets.forEach((target, index) => {
    target.inFlight = index * 50;
  });
  return targets;
}

/** Makes a target one of another model somewhere else: nobody goes there before the first had a second chance. */
function moveAway(target: PlayedTarget | undefined): void {
  if (target !== undefined) target.leaves = true;
}

function ask(fields: Record<string, unknown> = {}) {
  return plane.raw(chatRequest(plane.key, chatBody("llama", fields)));
}

function busy(attempt: PlayedAttempt, retryAfter: string | null): void {
  const headers = { "content-type": "application/json", ...(retryAfter === null ? {} : { "retry-after": retryAfter }) };
  attempt.handler.onHead(429, headers);
  attempt.handler.onData(Buffer.from('{"error":{"message":"slow down"}}'));
  attempt.handler.onEnd();
}

/** What has been answered so far. Advances by steps of the sweeper. */
async function passTime(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 250) {
    plane.clock.advance(250);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe("a target that stumbles once", () => {
  it("is tried again, after a moment, before the request goes somewhere else", async () => {
    const [own, cloud] = await start(["own", "cloud"]);
    moveAway(cloud);
    const caller = ask();
    (await own!.next()).answer(500, { error: { message: "oops" } });
    const again = own!.next();
    await passTime(500);
    (await again).answer(200, chatAnswer());
    await caller.until('"hello"');
    expect(caller.text).toMatch(/X-Postern-Attempts: 2\r\n/);
    expect(caller.text).not.toContain("X-Postern-Fallback");
    expect(cloud!.attempts).toHaveLength(0);
    expect(plane.closed[0]?.attempts.map(({ errorCode }) => errorCode)).toEqual(["engine_failed", null]);
    caller.socket.destroy();
  });

  it("is left for another one of the same model at once", async () => {
    const [one, two] = await start(["one", "two"]);
    const caller = ask();
    (await one!.next()).handler.onFailure({ phase: "request", kind: "reset", detail: "reset" });
    (await two!.next()).answer(200, chatAnswer());
    await caller.until('"hello"');
    expect(caller.text).toMatch(/X-Postern-Served-By: node\/two\r\n[\s\S]*X-Postern-Fallback: link_lost\r\n/);
    caller.socket.destroy();
  });

  it("is not tried again for a caller who left during the wait", async () => {
    const [own] = await start(["own"]);
    const caller = ask();
    (await own!.next()).answer(500, { error: { message: "oops" } });
    caller.socket.destroy();
    while (plane.closed.length === 0) await new Promise((resolve) => setImmediate(resolve));
    await passTime(1_000);
    expect(own!.attempts).toHaveLength(1);
    expect(plane.closed).toMatchObject([{ outcome: "aborted" }]);
  });

  it("is tried again for a stream that was begun and kept alive meanwhile", async () => {
    const [own] = await start(["own"], { timeouts: { holdMs: 0, keepAliveMs: 500 } });
    const caller = ask({ stream: true });
    const attempt = await own!.next();
    await passTime(250);
    await caller.until("X-Postern-Served-By: pending");
    busy(attempt, "3");
    await passTime(2_000);
    await caller.until(": ping");
    const again = own!.next();
    await passTime(1_500);
    (await again).streamHead();
    (await again).token("late");
    (await again).finish();
    await caller.until("[DONE]");
    expect(caller.text).toContain("late");
    caller.socket.destroy();
  });
});

describe("a target that asks for a pause", () => {
  it("is asked again after it, where it is the only one", async () => {
    const [own] = await start(["own"]);
    const caller = ask();
    busy(await own!.next(), "2");
    await passTime(1_750);
    expect(own!.attempts).toHaveLength(1);
    const again = own!.next();
    await passTime(750);
    (await again).answer(200, chatAnswer());
    await caller.until('"hello"');
    expect(plane.health.state(own!.id)).toBe("closed");
    caller.socket.destroy();
  });

  it("that is too long is told to the caller at once", async () => {
    const [own] = await start(["own"]);
    const caller = ask();
    busy(await own!.next(), "30");
    await caller.until("slow down");
    expect(caller.text).toMatch(/^HTTP\/1.1 429 [\s\S]*retry-after: 30\r\n/i);
    caller.socket.destroy();
  });
});

describe("a target that is silent", () => {
  it("is not tried twice", async () => {
    const [own] = await start(["own"], { timeouts: { firstTokenMs: 1_000, holdMs: 60_000 } });
    const caller = ask({ stream: true });
    const attempt = await own!.next();
    await passTime(1_500);
    expect(await attempt.whenCancelled).toBe("deadline");
    await caller.until("\r\n\r\n");
    expect(caller.status).toBe(504);
    expect(own!.attempts).toHaveLength(1);
    caller.socket.destroy();
  });
});

describe("when all targets fail", () => {
  it("the caller gets an error of its own that says how each failed, and no host", async () => {
    const [one, two] = await start(["one", "two"]);
    const caller = ask();
    (await one!.next()).handler.onFailure({ phase: "connect", kind: "unreachable", detail: "ECONNREFUSED 10.0.0.7:1" });
    (await two!.next()).answer(501, {});
    await caller.until("}");
    // 501 is about the request, and is answered as it is.
    expect(caller.status).toBe(501);
    const second = ask();
    (await one!.next()).handler.onFailure({ phase: "connect", kind: "unreachable", detail: "ECONNREFUSED 10.0.0.7:1" });
    (await two!.next()).answer(401, { error: { message: "bad key sk-123" } });
    await second.until("}");
    expect(second.status).toBe(502);
    expect(second.text).toContain("x-postern-error: all_targets_failed");
    expect(second.text).toContain("X-Postern-Attempts: 2");
    expect(second.text).toContain("node/one could not be reached; node/two did not accept the credentials");
    expect(second.text).not.toMatch(/10\.0\.0\.7|sk-123|401/);
    expect(plane.closed[1]).toMatchObject({ errorCode: "all_targets_failed", outcome: "failed", tokensOut: 0 });
    caller.socket.destroy();
    second.socket.destroy();
  });

  it("the one target's own error reaches the caller where there is no other", async () => {
    const [own] = await start(["own"], { limits: { attempts: 1 } });
    const caller = ask();
    (await own!.next()).answer(503, { error: { message: "the engine's own words" } });
    await caller.until("the engine's own words");
    expect(caller.status).toBe(503);
    caller.socket.destroy();
  });

  it("no request makes more than four attempts in three seconds and six in all", async () => {
    const nodes = ["a", "b", "c", "d", "e", "f", "g", "h"];
    const targets = await start(nodes);
    for (const target of targets) {
      target.play = (attempt) => attempt.handler.onFailure({ phase: "connect", kind: "unreachable", detail: "" });
    }
    const caller = ask();
    const count = () => targets.reduce((sum, { attempts }) => sum + attempts.length, 0);
    await passTime(2_750);
    expect(count()).toBe(4);
    await passTime(1_000);
    await caller.until("}");
    expect(count()).toBe(6);
    expect(caller.text).toContain("all_targets_failed");
    caller.socket.destroy();
  });
});

describe("a prompt that is too long for its target", () => {
  it("goes to one with a larger window, and to no other", async () => {
    const [small, alike, large] = await start(["small", "alike", "large"]);
    small!.contextLength = 4_096;
    alike!.contextLength = 4_096;
    large!.contextLength = 32_768;
    const caller = ask();
    (await small!.next()).answer(400, TOO_LONG);
    (await large!.next()).answer(200, chatAnswer());
    await caller.until('"hello"');
    expect(caller.text).toMatch(/X-Postern-Fallback: context_length_exceeded\r\n/);
    expect(alike!.attempts).toHaveLength(0);
    expect(plane.health.failures(small!.id)).toBe(0);
    caller.socket.destroy();
  });

  it("is told to the caller where no window is larger", async () => {
    const [small, alike] = await start(["small", "alike"]);
    small!.contextLength = 4_096;
    alike!.contextLength = null;
    const caller = ask();
    (await small!.next()).answer(400, TOO_LONG);
    await caller.until("context_length_exceeded");
    expect(caller.status).toBe(400);
    expect(alike!.attempts).toHaveLength(0);
    caller.socket.destroy();
  });
});

it("a target that refuses our credentials is left alone at once, and its 401 is never the caller's", async () => {
  const [one, two] = await start(["one", "two"]);
  const caller = ask();
  (await one!.next()).answer(401, { error: { message: "Incorrect API key provided" } });
  (await two!.next()).answer(200, chatAnswer());
  await caller.until('"hello"');
  expect(caller.text).toMatch(/X-Postern-Fallback: engine_denied\r\n/);
  expect(plane.health.view(one!.id)).toMatchObject({ state: "open", reason: "engine_denied" });
  caller.socket.destroy();
});
