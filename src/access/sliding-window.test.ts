import fc from "fast-check";
import { expect, test } from "vitest";
import { SlidingWindow, WINDOW_MS } from "./sliding-window.ts";

test("SlidingWindow never holds less than what was added during the last minute, nor for longer than a minute and a slot", () => {
  const step = fc.record({ afterMs: fc.integer({ min: 0, max: 30_000 }), amount: fc.integer({ min: 0, max: 9 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const window = new SlidingWindow();
      const added: { atMs: number; amount: number }[] = [];
      let nowMs = 123.4;
      for (const { afterMs, amount } of steps) {
        nowMs += afterMs;
        window.add(amount, nowMs);
        added.push({ atMs: nowMs, amount });
        const since = (ageMs: number) =>
          added.reduce((sum, one) => (nowMs - one.atMs < ageMs ? sum + one.amount : sum), 0);
        expect(window.sum(nowMs)).toBeGreaterThanOrEqual(since(WINDOW_MS));
        expect(window.sum(nowMs)).toBeLessThanOrEqual(since(WINDOW_MS + 5_000));
      }
    }),
  );
});

test("SlidingWindow says how long to wait, and keeps its word", () => {
  const step = fc.record({ afterMs: fc.integer({ min: 0, max: 20_000 }), amount: fc.integer({ min: 1, max: 9 }) });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 20 }), fc.integer({ min: 0, max: 20 }), (steps, target) => {
      const window = new SlidingWindow();
      let nowMs = 0;
      for (const { afterMs, amount } of steps) {
        nowMs += afterMs;
        window.add(amount, nowMs);
      }
      const waitMs = window.waitMs(target, nowMs);
      expect(waitMs === 0).toBe(window.sum(nowMs) <= target);
      if (waitMs > 0) expect(window.sum(nowMs + waitMs - 0.5)).toBeGreaterThan(target);
      expect(window.sum(nowMs + waitMs)).toBeLessThanOrEqual(target);
    }),
  );
});

test("SlidingWindow takes back what was added while it is there, and nothing of what came later once it has left", () => {
  const window = new SlidingWindow();
  const stamp = window.add(5, 0);
  window.add(2, 50_000);
  window.remove(5, stamp);
  expect(window.sum(50_000)).toBe(2);
  const late = window.add(3, 60_000);
  window.add(4, 200_000);
  window.remove(3, late);
  expect(window.sum(200_000)).toBe(4);
});
