import { afterEach, describe, expect, it } from "vitest";
import { chatAnswer, chatBody, chatRequest } from "../../test/support/chat.ts";
import { type DataPlane, startDataPlane } from "../../test/support/data-plane.ts";
import type { PlayedAttempt, PlayedTarget } from "../../test/support/played-target.ts";

let plane: DataPlane;
afterEach(() => plane.close());

/** A model on two nodes, of which the first is the one that is asked while both are well. */
async function start(): Promise<{ forge: PlayedTarget; anvil: PlayedTarget }> {
  plane = await startDataPlane();
  const [forge, anvil] = plane.serve("llama", "forge", "anvil");
  if (forge === undefined || anvil === undefined) throw new Error("no targets");
  anvil.inFlight = 1000;
  return { forge, anvil };
}

/** One request, with its attempts answered by `play`. @returns Its status. */
async function ask(play: (attempt: PlayedAttempt, target: PlayedTarget) => void, targets: PlayedTarget[]) {
  for (const target of targets) target.play = (attempt) => play(attempt, target);
  const caller = plane.raw(chatRequest(plane.key, chatBody("llama")));
  await caller.until("\r\n\r\n");
  caller.socket.destroy();
  return caller.status;
}

describe("a target that fails", () => {
  it("is left alone after three failures, tried again by one request after 30 s, and used again once that worked", async () => {
    const { forge, anvil } = await start();
    let isForgeWell = false;
    const asked: string[] = [];
    function play(attempt: PlayedAttempt, target: PlayedTarget): void {
      asked.push(target.backend.name);
      if (target === anvil || isForgeWell) attempt.answer(200, chatAnswer());
      else attempt.handler.onFailure({ phase: "connect", kind: "unreachable", detail: "refused" });
    }
    const targets = [forge, anvil];
    for (let request = 0; request < 5; request++) expect(await ask(play, targets)).toBe(200);
    expect(asked.filter((name) => name === "forge")).toHaveLength(3);
    expect(plane.health.state(forge.id)).toBe("open");
    expect(plane.attempts.map(({ verdict, code }) => [verdict, code])).toContainEqual(["failed", "engine_unreachable"]);
    isForgeWell = true;
    asked.length = 0;
    plane.clock.advance(30_000);
    expect(await ask(play, targets)).toBe(200);
    expect(await ask(play, targets)).toBe(200);
    expect(asked).toEqual(["forge", "forge"]);
    expect(plane.health.state(forge.id)).toBe("closed");
  });

  it("that is the only one is asked all the same", async () => {
    plane = await startDataPlane({ limits: { attempts: 1 } });
    const [forge] = plane.serve("llama", "forge");
    for (let request = 0; request < 4; request++) {
      const status = await ask((attempt) => attempt.answer(503, { error: { message: "no" } }), [forge!]);
      expect(status).toBe(503);
    }
    expect(plane.health.state(forge!.id)).toBe("open");
    expect(await ask((attempt) => attempt.answer(200, chatAnswer()), [forge!])).toBe(200);
  });

  it("is well when it only says what is wrong with the request, and when its caller leaves", async () => {
    const { forge, anvil } = await start();
    for (let request = 0; request < 4; request++) {
      const status = await ask((attempt) => attempt.answer(400, { error: { message: "bad" } }), [forge, anvil]);
      expect(status).toBe(400);
    }
    forge.play = null;
    for (let request = 0; request < 4; request++) {
      const caller = plane.raw(chatRequest(plane.key, chatBody("llama", { stream: true })));
      const attempt = await forge.next();
      caller.socket.destroy();
      await attempt.whenCancelled;
    }
    expect(plane.health.view(forge.id).state).toBe("closed");
    expect(plane.health.failures(forge.id)).toBe(0);
    expect(plane.attempts.map(({ verdict }) => verdict)).toContain("abandoned");
  });

  it("gets the pause that its Retry-After asks for, once, and is not broken for it", async () => {
    const { forge, anvil } = await start();
    const asked: string[] = [];
    function play(attempt: PlayedAttempt, target: PlayedTarget): void {
      asked.push(target.backend.name);
      if (target === anvil || asked.length > 2) return attempt.answer(200, chatAnswer());
      attempt.handler.onHead(429, { "content-type": "application/json", "retry-after": "2" });
      attempt.handler.onData(Buffer.from("{}"));
      attempt.handler.onEnd();
    }
    expect(await ask(play, [forge, anvil])).toBe(200);
    expect(await ask(play, [forge, anvil])).toBe(200);
    expect(asked).toEqual(["forge", "anvil", "anvil"]);
    expect(plane.health.view(forge.id)).toMatchObject({ state: "open", reason: "throttled" });
    plane.clock.advance(2_000);
    expect(await ask(play, [forge, anvil])).toBe(200);
    expect(asked.at(-1)).toBe("forge");
    expect(plane.health.state(forge.id)).toBe("closed");
  });
});
