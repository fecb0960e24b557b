import fc from "fast-check";
import { expect, test } from "vitest";
import { formatDuration, parseDuration } from "./duration.ts";

test("parseDuration() reads each unit", () => {
  expect(["0s", "500ms", "30s", "5m", "1h", "90d"].map(parseDuration)).toEqual([
    0, 500, 30_000, 300_000, 3_600_000, 7_776_000_000,
  ]);
});

test("parseDuration() refuses what people mistype", () => {
  for (const text of ["", "30", "s", "1.5h", "-1s", "1 s", "1S", "1h30m", "1s\n", "999999999999d", "1e3s", "٣s"]) {
    expect(parseDuration(text), JSON.stringify(text)).toBeNull();
  }
});

test("formatDuration() is read back exactly", () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 1e12 - 1 }), (ms) => parseDuration(formatDuration(ms)) === ms));
});

test("parseDuration() never throws and gives a safe non-negative integer or null", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^\d{1,14}(ms|s|m|h|d)$/)), (text) => {
      const value = parseDuration(text);
      return value === null || (Number.isSafeInteger(value) && value >= 0);
    }),
  );
});
