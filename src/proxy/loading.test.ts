import { afterEach, describe, expect, it } from "vitest";
import { chatAnswer, chatBody, chatRequest } from "../../test/support/chat.ts";
import { type DataPlane, startDataPlane } from "../../test/support/data-plane.ts";
import type { PlayedTarget } from "../../test/support/played-target.ts";
import type { RawConnection } from "../../test/support/raw-connection.ts";
import { SWEEP_MS } from "./sweeper.ts";

// An engine that is up and loads its model takes nothing yet. `gateway.timeouts.loading` says whether a request waits for it.

const LOADING_MS = 60_000;

let plane: DataPlane;
let target: PlayedTarget;
afterEach(() => plane.close());

async function startLoading(loadingMs: number): Promise<void> {
  plane = await startDataPlane({ timeouts: { loadingMs } });
  [target] = plane.serve("llama", "forge") as [PlayedTarget];
  target.isLoading = true;
  target.isAccepting = false;
}

/** Sends a request and resolves once it waits. */
async function ask(fields: Record<string, unknown>): Promise<RawConnection> {
  const before = plane.opened.length;
  const caller = plane.raw(chatRequest(plane.key, chatBody("llama", fields)));
  while (plane.opened.length === before) await new Promise(setImmediate);
  await new Promise(setImmediate);
  return caller;
}

function loaded(): void {
  target.isLoading = false;
  target.isAccepting = true;
  plane.clock.advance(SWEEP_MS);
}

describe("while an engine loads its model", () => {
  it("a request is refused at once where none may wait, with the time to come back", async () => {
    await startLoading(0);
    const caller = plane.raw(chatRequest(plane.key, chatBody("llama")));
    await caller.until("}}");
    expect(caller.status).toBe(503);
    expect(caller.text).toMatch(/retry-after: 5/i);
    expect(caller.text).toContain("engine_loading");
    expect(plane.opened).toHaveLength(0);
    caller.socket.destroy();
  });

  it("a whole answer waits in silence and is asked for once the model is there", async () => {
    await startLoading(LOADING_MS);
    const caller = await ask({});
    plane.clock.advance(LOADING_MS / 2);
    expect(target.attempts).toHaveLength(0);
    expect(caller.received).toHaveLength(0);
    loaded();
    const attempt = await target.next();
    attempt.answer(200, chatAnswer("hi", 3));
    await caller.until('"hi"');
    expect(caller.status).toBe(200);
    expect(plane.closed).toMatchObject([{ outcome: "ok", tokensIn: 3, attempts: [{ errorCode: null }] }]);
    caller.socket.destroy();
  });

  it("a stream waits, is begun after the hold time, kept alive, and then answered", async () => {
    await startLoading(LOADING_MS);
    const caller = await ask({ stream: true });
    plane.clock.advance(9_000);
    expect(caller.received).toHaveLength(0);
    plane.clock.advance(2_000);
    await caller.until("\r\n\r\n");
    expect(caller.text).toContain("X-Postern-Served-By: pending");
    plane.clock.advance(16_000);
    await caller.until(": ping");
    expect(target.attempts).toHaveLength(0);
    loaded();
    const attempt = await target.next();
    attempt.streamHead();
    attempt.token("at last");
    attempt.finish();
    await caller.until("[DONE]");
    expect(plane.closed).toMatchObject([{ outcome: "ok", isEstimated: false }]);
    caller.socket.destroy();
  });

  it("what has waited long enough gets the status, or the error in its stream, and costs nothing", async () => {
    await startLoading(LOADING_MS);
    const whole = await ask({});
    const stream = await ask({ stream: true });
    plane.clock.advance(LOADING_MS + SWEEP_MS);
    await whole.until("}}");
    expect(whole.status).toBe(503);
    expect(whole.text).toMatch(/retry-after: 5/i);
    const text = await stream.untilClosed();
    expect(text).toContain("engine_loading");
    expect(text).not.toContain("[DONE]");
    expect(plane.closed).toHaveLength(2);
    for (const one of plane.closed) {
      expect(one).toMatchObject({ outcome: "failed", errorCode: "engine_loading", tokensIn: 0, attempts: [] });
    }
    expect(plane.pipeline.running).toBe(0);
    whole.socket.destroy();
  });

  it("a caller that leaves, an engine that goes away and a key that is revoked end the wait", async () => {
    await startLoading(LOADING_MS);
    (await ask({})).socket.destroy();
    while (plane.closed.length === 0) await new Promise(setImmediate);
    expect(plane.closed).toMatchObject([{ outcome: "aborted", tokensIn: 0, attempts: [] }]);

    const forsaken = await ask({});
    target.isLoading = false;
    plane.clock.advance(SWEEP_MS);
    await forsaken.until("}}");
    expect(forsaken.status).toBe(503);
    expect(forsaken.text).toContain("no_target");
    forsaken.socket.destroy();

    target.isLoading = true;
    const revoked = await ask({});
    plane.changeKey(plane.keyId, { revokedAtMs: plane.clock.nowMs() });
    await revoked.until("}}");
    expect(revoked.status).toBe(401);
    revoked.socket.destroy();
    expect(target.attempts).toHaveLength(0);
    expect(plane.pipeline.running).toBe(0);
  });
});
