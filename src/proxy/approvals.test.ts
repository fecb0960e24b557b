import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { chatAnswer, chatBody, chatRequest } from "../../test/support/chat.ts";
import { type DataPlane, startDataPlane } from "../../test/support/data-plane.ts";
import type { PlayedTarget } from "../../test/support/played-target.ts";
import type { RawConnection } from "../../test/support/raw-connection.ts";

const MINUTE = 60_000;

let plane: DataPlane;
let node: PlayedTarget;
let cloud: PlayedTarget;
/** Of a strict workflow: its own machines, and the cloud only with an operator's approval. */
let key: string;

beforeEach(async () => {
  plane = await startDataPlane();
  const [own, provider] = plane.serve("gpt", "forge", "provider/openai");
  if (own === undefined || provider === undefined) throw new Error("no targets");
  node = own;
  cloud = provider;
  ({ key } = plane.addKey(null, { workflow: "audit", prefer: "local", fallback: "approval" }));
});
afterEach(() => plane.close());

function ask(fields: Record<string, unknown> = {}, headers = "", as = key): RawConnection {
  return plane.raw(chatRequest(as, chatBody("gpt", fields), headers));
}

/** Resolves with the one that waits for an approval. */
async function waiting(): Promise<string> {
  for (;;) {
    const [first] = plane.approvals.view({ nowMs: 0, monotonicMs: 0 }).waiting;
    if (first !== undefined) return first.id;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function decide(id: string, isApproved: boolean): void {
  plane.approvals.decide(id, isApproved, "ada");
  plane.pipeline.targetsChanged();
}

async function answeredBy(target: PlayedTarget, caller: RawConnection): Promise<string> {
  (await target.next()).answer(200, chatAnswer());
  await caller.until("chat.completion");
  caller.socket.destroy();
  return caller.text;
}

async function refusal(caller: RawConnection): Promise<string> {
  await caller.until("x-postern-error");
  caller.socket.destroy();
  return caller.text;
}

describe("a request whose policy says `fallback: approval`", () => {
  test("goes to the side that it prefers without asking anybody", async () => {
    expect(await answeredBy(node, ask())).not.toContain("X-Postern-Fallback");
    expect(plane.approvals.waiting).toBe(0);
  });

  test("waits while that cannot serve, and goes to the other side once it is approved", async () => {
    node.isAccepting = false;
    const caller = ask();
    const id = await waiting();
    expect(plane.approvals.find(id)).toMatchObject({ scope: "audit", model: "gpt", to: "cloud" });
    expect(cloud.attempts).toHaveLength(0);
    decide(id, true);
    const text = await answeredBy(cloud, caller);
    expect(text).toContain("X-Postern-Fallback: approved");
    expect(text).toContain("X-Postern-Served-By: provider/openai");
    expect(plane.closed).toMatchObject([{ fallback: "approved", outcome: "ok" }]);
    expect(plane.approvals.view({ nowMs: 0, monotonicMs: 0 }).waiting).toEqual([]);
  });

  test("is refused in its dialect when it is denied, and nothing has left", async () => {
    node.isAccepting = false;
    const caller = ask();
    decide(await waiting(), false);
    const text = await refusal(caller);
    expect(text).toContain("HTTP/1.1 403");
    expect(text).toContain("x-postern-error: approval_denied");
    expect(text).toContain("an operator decided");
    expect(cloud.attempts).toHaveLength(0);
  });

  test("is refused when nobody answers in time", async () => {
    node.isAccepting = false;
    const caller = ask();
    await waiting();
    plane.clock.advance(5 * MINUTE);
    expect(await refusal(caller)).toContain("x-postern-error: approval_timeout");
    expect(plane.approvals.waiting).toBe(0);
    expect(cloud.attempts).toHaveLength(0);
  });

  test("as a stream is kept alive while it waits, and told in the stream when it is denied", async () => {
    node.isAccepting = false;
    const caller = ask({ stream: true });
    const id = await waiting();
    plane.clock.advance(10_500);
    await caller.until("200 OK");
    plane.clock.advance(16_000);
    await caller.until("waiting for an operator's approval");
    decide(id, false);
    expect(await caller.untilClosed()).toMatch(/"code":"approval_denied"/);
    expect(caller.text).not.toContain("[DONE]");
  });

  test("waits no longer when its caller leaves", async () => {
    node.isAccepting = false;
    const caller = ask();
    await waiting();
    caller.socket.destroy();
    while (plane.approvals.waiting > 0) await new Promise((resolve) => setImmediate(resolve));
    expect(plane.closed).toMatchObject([{ outcome: "aborted" }]);
  });

  test("goes to the side that it prefers when that comes back before anybody answered", async () => {
    node.isAccepting = false;
    const caller = ask();
    await waiting();
    node.isAccepting = true;
    plane.pipeline.targetsChanged();
    expect(await answeredBy(node, caller)).not.toContain("X-Postern-Fallback");
    expect(plane.approvals.waiting).toBe(0);
  });

  test("asks while the side that it prefers is known to be down, too", async () => {
    for (let time = 0; time < 3; time++) plane.health.failed(node.id, "engine_failed", plane.clock.monotonicMs());
    ask();
    await waiting();
    expect(cloud.attempts).toHaveLength(0);
  });

  test("asks for its own machines where it prefers the cloud and contingency is on", async () => {
    const strict = plane.addKey(null, { workflow: "audit", prefer: "cloud", fallback: "approval" });
    await plane.contingency.change(
      (state, at) => state.on({ workflow: null, reason: "r", by: "ada", forMs: null }, at),
      async () => {},
    );
    const caller = ask({}, "", strict.key);
    const id = await waiting();
    expect(plane.approvals.find(id)).toMatchObject({ to: "local" });
    decide(id, true);
    expect(await answeredBy(node, caller)).toContain("X-Postern-Fallback: approved");
    expect(plane.closed).toMatchObject([{ fallback: "approved", contingency: "command" }]);
  });

  test("does not wait for what no approval could help: local-only, and contingency where the cloud is all that is left", async () => {
    node.isAccepting = false;
    expect(await refusal(ask({}, "X-Postern-Policy: local-only\r\n"))).toContain("x-postern-error: no_target");
    await plane.contingency.change(
      (state, at) => state.on({ workflow: null, reason: "r", by: "ada", forMs: null }, at),
      async () => {},
    );
    expect(await refusal(ask())).toMatch(/x-postern-error: (no_target|contingency)/);
    expect(plane.approvals.waiting).toBe(0);
    expect(cloud.attempts).toHaveLength(0);
  });

  test("goes at once while its workflow is approved for a time, and prefers its own side still", async () => {
    node.isAccepting = false;
    const at = { nowMs: plane.clock.nowMs(), monotonicMs: plane.clock.monotonicMs() };
    plane.approvals.grant("audit", MINUTE, "ada", at);
    expect(await answeredBy(cloud, ask())).toContain("X-Postern-Fallback: approved");
    node.isAccepting = true;
    expect(await answeredBy(node, ask())).not.toContain("X-Postern-Fallback");
    node.isAccepting = false;
    plane.clock.advance(MINUTE);
    ask();
    await waiting();
  });
});
