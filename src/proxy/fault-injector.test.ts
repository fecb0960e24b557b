import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { chatAnswer, chatBody, chatRequest } from "../../test/support/chat.ts";
import { type DataPlane, startDataPlane } from "../../test/support/data-plane.ts";
import type { PlayedTarget } from "../../test/support/played-target.ts";
import { FAULT_KINDS, FAULTS, type Fault, type FaultKind, type FaultScope } from "../continuity/drill/fault.ts";
import { BLACKHOLE_MS } from "./blocked-exchange.ts";

// A drill proves nothing unless its faults look to the relay like the real thing; so they are tried through it.

const EVERYTHING: FaultScope = { providers: null, nodes: null, models: null, workflows: null, share: 1 };

let plane: DataPlane;
let broken: PlayedTarget;
let other: PlayedTarget;
beforeEach(async () => {
  plane = await startDataPlane();
  [broken, other] = plane.serve("llama", "broken", "other") as [PlayedTarget, PlayedTarget];
  other.inFlight = 100;
});
afterEach(() => plane.close());

const inject = (kind: FaultKind, scope: Partial<FaultScope> = { nodes: ["broken"] }) =>
  plane.faults.inject({ kind, scope: { ...EVERYTHING, ...scope }, delayMs: 20_000 } satisfies Fault, 600_000);

const ask = (key = plane.key, stream = false) =>
  fetch(`http://127.0.0.1:${plane.port}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify(chatBody("llama", { stream })),
  });

describe("FaultInjector", () => {
  it.each(FAULT_KINDS.filter((kind) => FAULTS[kind].blocks && kind !== "blackhole" && kind !== "silent"))(
    "%s: nothing reaches the target, and another one answers",
    async (kind) => {
      const injection = inject(kind);
      const response = ask();
      (await other.next()).answer(200, chatAnswer());
      expect((await response).status).toBe(200);
      expect((await response).headers.get("x-postern-served-by")).toBe("node/other");
      expect(broken.attempts).toEqual([]);
      expect(injection.counts.injected).toBeGreaterThan(0);
      expect(injection.counts.reached).toBe(0);
      expect(broken.inFlight).toBe(0);
    },
  );

  it("blackhole: fails when a connection attempt would have", async () => {
    const injection = inject("blackhole");
    const response = ask();
    await expect.poll(() => injection.counts.injected).toBe(1);
    plane.clock.advance(BLACKHOLE_MS - 1);
    expect(other.attempts).toEqual([]);
    plane.clock.advance(1);
    (await other.next()).answer(200, chatAnswer());
    expect((await response).status).toBe(200);
  });

  it("silent: is given up by the relay's own limit, and lets go of its timer when the caller leaves", async () => {
    const injection = inject("silent");
    const connection = plane.raw(chatRequest(plane.key, chatBody("llama", { stream: true })));
    await expect.poll(() => injection.counts.injected).toBe(1);
    plane.clock.advance(61_000);
    (await other.next()).streamHead();
    connection.socket.destroy();
    await other.attempts[0]?.whenCancelled;
    expect(broken.attempts).toEqual([]);
  });

  it.each(["cut", "short-body", "stall"] as const)("%s: no stream that it spoils gets its clean end", async (kind) => {
    inject(kind);
    const connection = plane.raw(chatRequest(plane.key, chatBody("llama", { stream: true })));
    const attempt = await broken.next();
    attempt.streamHead();
    for (const word of ["one ", "two ", "three ", "four "]) attempt.token(word);
    attempt.finish();
    await connection.until("one ");
    if (kind === "stall") plane.clock.advance(121_000);
    const text = await connection.untilClosed();
    expect(text).toMatch(/engine_(cut|stalled)/);
    expect(text).not.toContain("[DONE]");
    expect(plane.closed).toMatchObject([{ outcome: "failed" }]);
  });

  it.each(["cut", "short-body", "malformed-event"] as const)(
    "%s: a whole answer that it spoils is made good elsewhere",
    async (kind) => {
      inject(kind);
      const response = ask();
      (await broken.next()).answer(200, chatAnswer());
      (await other.next()).answer(200, chatAnswer());
      expect((await response).headers.get("x-postern-served-by")).toBe("node/other");
    },
  );

  it.each(["malformed-event", "extra-bytes"] as const)(
    "%s: never passes for a whole answer with a hole in it",
    async (kind) => {
      inject(kind);
      const connection = plane.raw(chatRequest(plane.key, chatBody("llama", { stream: true })));
      const attempt = await broken.next();
      attempt.streamHead();
      for (const word of ["one ", "two ", "three ", "four "]) attempt.token(word);
      attempt.finish();
      await expect.poll(() => plane.closed.length).toBe(1);
      await expect.poll(() => connection.text).toMatch(/four|engine_bad_answer/);
      if (plane.closed[0]?.outcome === "ok")
        for (const word of ["one", "two", "three", "four"]) expect(connection.text).toContain(word);
    },
  );

  it("slow-first-token: the head at once, the content after the delay, in its order", async () => {
    inject("slow-first-token");
    const connection = plane.raw(chatRequest(plane.key, chatBody("llama", { stream: true })));
    const attempt = await broken.next();
    attempt.streamHead();
    attempt.token("one ");
    attempt.token("two ");
    attempt.finish();
    plane.clock.advance(19_000);
    expect(connection.text).not.toContain("one ");
    plane.clock.advance(1_000);
    await connection.until("[DONE]");
    expect(connection.text.indexOf("one ")).toBeLessThan(connection.text.indexOf("two "));
  });

  it("slow-link: pauses the sender instead of holding more than its bound", async () => {
    inject("slow-link");
    const connection = plane.raw(chatRequest(plane.key, chatBody("llama", { stream: true })));
    const attempt = await broken.next();
    attempt.streamHead();
    for (let at = 0; at < 5; at++) attempt.token("x".repeat(64 * 1024));
    expect(attempt.isPaused).toBe(true);
    plane.clock.advance(20_000);
    await connection.until("xxx");
    expect(attempt.isPaused).toBe(false);
    attempt.finish();
    plane.clock.advance(20_000);
    await connection.until("[DONE]");
  });

  it("keeps to the workflow, the model and the share of its scope, and counts what it lets through", async () => {
    const tagged = plane.addKey(null, { workflow: "letters" });
    const injection = inject("refused", { nodes: ["broken"], workflows: ["letters"] });
    const mine = ask(tagged.key);
    (await other.next()).answer(200, chatAnswer());
    expect((await mine).headers.get("x-postern-served-by")).toBe("node/other");
    const foreign = ask();
    (await broken.next()).answer(200, chatAnswer());
    expect((await foreign).headers.get("x-postern-served-by")).toBe("node/broken");
    expect(injection.counts).toEqual({ injected: 1, reached: 1 });
  });

  it("plays nothing past its time, although nobody stops it", async () => {
    const injection = inject("refused");
    plane.clock.advance(600_000);
    const response = ask();
    (await broken.next()).answer(200, chatAnswer());
    expect((await response).status).toBe(200);
    expect(injection.counts).toEqual({ injected: 0, reached: 0 });
    expect(plane.faults.isIdle).toBe(true);
  });

  it("plays one fault at a time, and none once it is stopped", async () => {
    const injection = inject("refused");
    expect(() => inject("cut")).toThrow();
    injection.stop();
    expect(plane.faults.isIdle).toBe(true);
    const response = ask();
    (await broken.next()).answer(200, chatAnswer());
    expect((await response).status).toBe(200);
    inject("cut").stop();
  });
});
