import { describe, expect, test } from "vitest";
import { ScriptedSequence } from "./__fixtures__/scripted-sequence.ts";
import type { LlamaSequence } from "./library.ts";
import { commonPrefix, SequencePool } from "./sequence-pool.ts";

function sequence(...tokens: number[]): ScriptedSequence {
  const one = new ScriptedSequence(() => []);
  one.contextTokens = tokens;
  return one;
}

const never = new AbortController().signal;

describe("SequencePool", () => {
  test("gives the free sequence that holds most of the prompt's beginning", async () => {
    const pool = new SequencePool([sequence(), sequence(1, 2, 9), sequence(1, 2, 3)], 0);
    expect((await pool.acquire([1, 2, 3, 4], never)).contextTokens).toEqual([1, 2, 3]);
    expect((await pool.acquire([1, 2, 3, 4], never)).contextTokens).toEqual([1, 2, 9]);
  });

  test("lets requests wait in order and refuses those beyond the queue", async () => {
    const pool = new SequencePool([sequence()], 2);
    const held = await pool.acquire([1], never);
    const order: string[] = [];
    async function wait(name: string): Promise<LlamaSequence> {
      const one = await pool.acquire([1], never);
      order.push(name);
      return one;
    }
    const first = wait("first");
    const second = wait("second");
    expect(() => pool.acquire([1], never)).toThrow(expect.objectContaining({ code: "overloaded", status: 503 }));
    pool.release(held);
    pool.release(await first);
    await second;
    expect(order).toEqual(["first", "second"]);
  });

  test("gives up the place of a caller that leaves the queue", async () => {
    const pool = new SequencePool([sequence()], 1);
    const held = await pool.acquire([1], never);
    const controller = new AbortController();
    const waiting = pool.acquire([1], controller.signal);
    controller.abort(new Error("left"));
    await expect(waiting).rejects.toThrow("left");
    expect(pool.waitingCount).toBe(0);
    pool.release(held);
    expect(pool.freeCount).toBe(1);
  });
});

describe("commonPrefix()", () => {
  test("counts equal tokens at the beginning", () => {
    expect(commonPrefix([1, 2, 3], [1, 2, 4])).toBe(2);
    expect(commonPrefix([], [1])).toBe(0);
    expect(commonPrefix([1, 2], [1, 2])).toBe(2);
  });
});
