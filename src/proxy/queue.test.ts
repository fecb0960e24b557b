import { afterEach, describe, expect, it } from "vitest";
import { chatAnswer, chatBody, chatRequest } from "../../test/support/chat.ts";
import { type DataPlane, type DataPlaneOptions, startDataPlane } from "../../test/support/data-plane.ts";
import type { PlayedTarget } from "../../test/support/played-target.ts";
import type { RawConnection } from "../../test/support/raw-connection.ts";
import { SWEEP_MS } from "./sweeper.ts";

// B-09: where every target of a model is full, requests wait for a slot instead of getting 503.

const ANSWER = chatAnswer("hi", 3);

let plane: DataPlane;
let target: PlayedTarget;
afterEach(() => plane.close());

/** A model on one machine with so many slots. */
async function start(slots: number, options: DataPlaneOptions = {}): Promise<void> {
  plane = await startDataPlane(options);
  [target] = plane.serve("llama", "forge") as [PlayedTarget];
  target.slots = slots;
}

async function turn(): Promise<void> {
  await new Promise(setImmediate);
  await new Promise(setImmediate);
}

/** Sends a request and resolves once it is on the record: it runs or waits. */
async function ask(key = plane.key, fields: Record<string, unknown> = {}): Promise<RawConnection> {
  const before = plane.opened.length;
  const caller = plane.raw(chatRequest(key, chatBody("llama", fields)));
  while (plane.opened.length === before) await turn();
  await turn();
  return caller;
}

describe("a request for a model whose every slot is taken", () => {
  it("waits, and goes out as soon as a slot is free, without any time passing", async () => {
    await start(1);
    const first = await ask();
    const second = await ask();
    expect(target.attempts).toHaveLength(1);
    expect(plane.pipeline.queueDepths()).toEqual([{ model: "llama", depth: 1 }]);
    (await target.next()).answer(200, ANSWER);
    await first.until('"hi"');
    (await target.next()).answer(200, ANSWER);
    await second.until('"hi"');
    expect(plane.pipeline.queueDepths()).toEqual([]);
    expect(plane.closed).toMatchObject([{ outcome: "ok" }, { outcome: "ok" }]);
    for (const caller of [first, second]) caller.socket.destroy();
  });

  it("goes to another machine that has a slot, and waits only where none has", async () => {
    await start(1);
    const targets = plane.serve("llama", "forge", "anvil");
    for (const one of targets) one.slots = 1;
    const callers = [await ask(), await ask(), await ask()];
    expect(plane.pipeline.queueDepths()).toEqual([{ model: "llama", depth: 1 }]);
    for (const one of targets) expect(one.attempts).toHaveLength(1);
    for (const caller of callers) caller.socket.destroy();
  });

  it("takes turns with those of other keys, however many these have waiting", async () => {
    await start(1);
    const other = plane.addKey(null);
    const callers = [await ask()];
    for (let n = 0; n < 10; n++) callers.push(await ask());
    const fair = await ask(other.key);
    for (let n = 0; n < 2; n++) (await target.next()).answer(200, ANSWER);
    await turn();
    (await target.next()).answer(200, ANSWER);
    await fair.until('"hi"');
    expect(plane.pipeline.queueDepths()[0]?.depth).toBeGreaterThanOrEqual(8);
    for (const caller of [...callers, fair]) caller.socket.destroy();
  });

  it("gives its place up at once when its caller leaves, and when its key is revoked", async () => {
    await start(1);
    const other = plane.addKey(null);
    const first = await ask();
    const leaving = await ask();
    const revoked = await ask(other.key);
    leaving.socket.destroy();
    while (plane.closed.length === 0) await turn();
    expect(plane.closed).toMatchObject([{ outcome: "aborted", tokensIn: 0, attempts: [] }]);
    plane.changeKey(other.id, { revokedAtMs: plane.clock.nowMs() });
    await revoked.until("}}");
    expect(revoked.status).toBe(401);
    expect(plane.pipeline.queueDepths()).toEqual([]);
    first.socket.destroy();
    revoked.socket.destroy();
  });

  it("is told its place while its stream is kept alive, in a comment that clients pass over", async () => {
    await start(1);
    const first = await ask();
    const stream = await ask(plane.key, { stream: true });
    const behind = await ask();
    plane.clock.advance(11_000);
    await stream.until("\r\n\r\n");
    expect(stream.text).toContain("X-Postern-Served-By: pending");
    plane.clock.advance(16_000);
    await stream.until(": waiting for a free slot: place 1 of 2\n\n: ping");
    expect(behind.received).toHaveLength(0);
    (await target.next()).answer(200, ANSWER);
    const attempt = await target.next();
    attempt.streamHead();
    attempt.token("at last");
    attempt.finish();
    await stream.until("[DONE]");
    for (const caller of [first, stream, behind]) caller.socket.destroy();
  });

  it("gets 503 with the time to come back after its time, or the error in its stream", async () => {
    await start(1, { queue: { waitMs: 30_000 } });
    const first = await ask();
    const whole = await ask();
    const stream = await ask(plane.key, { stream: true });
    plane.clock.advance(30_000 + SWEEP_MS);
    await whole.until("}}");
    expect(whole.status).toBe(503);
    expect(whole.text).toMatch(/retry-after: 5/i);
    expect(whole.text).toContain("queue_timeout");
    expect(await stream.untilClosed()).toContain("queue_timeout");
    expect(plane.closed).toMatchObject([
      { outcome: "failed", errorCode: "queue_timeout", attempts: [] },
      { outcome: "failed", errorCode: "queue_timeout", attempts: [] },
    ]);
    first.socket.destroy();
    whole.socket.destroy();
  });

  it("is refused at once where none may wait", async () => {
    await start(1, { queue: { waitMs: 0 } });
    const first = await ask();
    const caller = plane.raw(chatRequest(plane.key, chatBody("llama")));
    await caller.until("}}");
    expect(caller.status).toBe(503);
    expect(caller.text).toContain("queue_timeout");
    first.socket.destroy();
    caller.socket.destroy();
  });

  it("is refused at once when as many wait as may, with how many those are", async () => {
    await start(1, { queue: { requests: 2 } });
    const callers = [await ask(), await ask(), await ask()];
    const late = plane.raw(chatRequest(plane.key, chatBody("llama")));
    await late.until("}}");
    expect(late.status).toBe(503);
    expect(late.text).toMatch(/retry-after: /i);
    expect(late.text).toContain("(2)");
    expect(late.text).toContain("queue_full");
    for (const caller of [...callers, late]) caller.socket.destroy();
  });

  it("has the place of the newest request of whoever has most, when there is none left", async () => {
    await start(1, { queue: { requests: 3 } });
    const other = plane.addKey(null);
    const callers = [await ask(), await ask(), await ask()];
    const newest = await ask();
    const fair = await ask(other.key);
    await newest.until("}}");
    expect(newest.text).toContain("queue_full");
    expect(plane.pipeline.queueDepths()).toEqual([{ model: "llama", depth: 3 }]);
    for (const caller of [...callers, newest, fair]) caller.socket.destroy();
  });

  it("is refused at once when others before it will take longer than it may wait", async () => {
    await start(1, { queue: { waitMs: 10_000 } });
    const callers = [await ask()];
    for (let n = 0; n < 6; n++) callers.push(await ask());
    // One went every 2 s: whoever comes now, with five before it, would wait for 12 s.
    for (let n = 0; n < 3; n++) {
      plane.clock.advance(2_000);
      (await target.next()).answer(200, ANSWER);
      await turn();
    }
    expect(plane.pipeline.queueDepths()).toEqual([{ model: "llama", depth: 3 }]);
    callers.push(await ask(), await ask());
    const late = plane.raw(chatRequest(plane.key, chatBody("llama")));
    await late.until("}}");
    expect(late.text).toContain("queue_full");
    expect(late.text).toMatch(/retry-after: 12/i);
    for (const caller of [...callers, late]) caller.socket.destroy();
  });

  it("does not keep one that wants another machine behind it", async () => {
    await start(1);
    const [, second] = plane.serve("llama", "forge", "anvil") as [PlayedTarget, PlayedTarget];
    second.slots = 1;
    [target] = [second];
    const pin = (node: string) =>
      plane.raw(chatRequest(plane.key, chatBody("llama")).replace("\r\n\r\n", `\r\nX-Postern-Node: ${node}\r\n\r\n`));
    const callers = [pin("anvil"), pin("anvil")];
    while (plane.opened.length < 2) await turn();
    await turn();
    expect(plane.pipeline.queueDepths()).toEqual([{ model: "llama", depth: 1 }]);
    const free = await ask();
    expect(plane.pipeline.queueDepths()).toEqual([{ model: "llama", depth: 1 }]);
    for (const caller of [...callers, free]) caller.socket.destroy();
  });

  it("is told when the gateway stops", async () => {
    await start(1);
    const first = await ask();
    const waiting = await ask();
    plane.pipeline.stopAll();
    await waiting.until("}}");
    expect(waiting.text).toContain("shutting_down");
    expect(plane.pipeline.queueDepths()).toEqual([]);
    first.socket.destroy();
    waiting.socket.destroy();
  });
});

describe("a request for a model whose only machine sleeps", () => {
  it("has it woken, waits for it, and is told so in its stream (B-19)", async () => {
    const woken: string[] = [];
    plane = await startDataPlane({ wake: (nodeId) => woken.push(nodeId) > 0 });
    [target] = plane.serve("llama", "forge") as [PlayedTarget];
    target.isAccepting = false;
    target.isAsleep = true;
    const stream = await ask(plane.key, { stream: true });
    expect(woken[0]).toBe("id-forge");
    plane.clock.advance(11_000);
    plane.clock.advance(16_000);
    await stream.until(": the machine is being woken: ");
    expect(target.attempts).toHaveLength(0);
    target.isAccepting = true;
    target.isAsleep = false;
    plane.clock.advance(SWEEP_MS);
    const attempt = await target.next();
    attempt.streamHead();
    attempt.token("good morning");
    attempt.finish();
    await stream.until("[DONE]");
    expect(plane.closed).toMatchObject([{ outcome: "ok" }]);
    stream.socket.destroy();
  });

  it("is refused at once where nobody can wake it, and after its time where it does not come", async () => {
    let canWake = false;
    plane = await startDataPlane({ wake: () => canWake, queue: { wakeMs: 60_000 } });
    [target] = plane.serve("llama", "forge") as [PlayedTarget];
    target.isAccepting = false;
    target.isAsleep = true;
    const refused = plane.raw(chatRequest(plane.key, chatBody("llama")));
    await refused.until("}}");
    expect(refused.text).toContain("no_target");
    canWake = true;
    const waiting = await ask();
    plane.clock.advance(60_000 + SWEEP_MS);
    await waiting.until("}}");
    expect(waiting.status).toBe(503);
    expect(waiting.text).toContain("no_target");
    refused.socket.destroy();
    waiting.socket.destroy();
  });
});
