import { describe, expect, test } from "vitest";
import { pauseOf } from "./retry-after.ts";

const NOW_MS = Date.UTC(2026, 10, 30, 12, 0, 0);

describe("pauseOf()", () => {
  test.each<[string, number, Record<string, string>, number | null]>([
    ["seconds", 429, { "retry-after": "2" }, 2_000],
    ["fractions of a second", 503, { "retry-after": "0.5" }, 500],
    ["milliseconds before seconds", 429, { "retry-after-ms": "250", "retry-after": "9" }, 250],
    ["a date", 503, { "retry-after": "Mon, 30 Nov 2026 12:00:30 GMT" }, 30_000],
    ["a date that is over", 503, { "retry-after": "Mon, 30 Nov 2026 11:00:00 GMT" }, 0],
    ["nothing, of a 429", 429, {}, 2_000],
    ["nothing, of a 503", 503, {}, null],
    ["nonsense, of a 529", 529, { "retry-after": "-5" }, null],
    ["a number too long to be one", 503, { "retry-after": "9".repeat(400) }, null],
    ["anything of another status", 500, { "retry-after": "2" }, null],
  ])("reads %s", (_what, status, headers, expected) => {
    expect(pauseOf(status, headers, NOW_MS)).toBe(expected);
  });
});
