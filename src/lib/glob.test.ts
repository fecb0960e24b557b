import fc from "fast-check";
import { expect, test } from "vitest";
import { matchesGlob } from "./glob.ts";

test.each([
  ["qwen3:8b", "qwen3:8b", true],
  ["qwen3:8b", "Qwen3:8b", false],
  ["qwen3:8b", "qwen3:8b-cloud", false],
  ["qwen*", "qwen3:8b", true],
  ["*:8b", "a/qwen3:8b", true],
  ["a*c*e", "abcde", true],
  ["a*c*e", "abcdef", false],
  ["*", "", true],
  [".", "x", false],
  ["a.c", "abc", false],
])("matchesGlob() says of %s and %s: %s", (pattern, text, expected) => {
  expect(matchesGlob(pattern, text)).toBe(expected);
});

test("matchesGlob() agrees with the regular expression that means the same", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "/"), maxLength: 8 });
  const pattern = fc.string({ unit: fc.constantFrom("a", "b", "*"), maxLength: 6 });
  fc.assert(
    fc.property(pattern, text, (glob, candidate) => {
      expect(matchesGlob(glob, candidate)).toBe(new RegExp(`^${glob.replaceAll("*", ".*")}$`).test(candidate));
    }),
    { numRuns: 1000 },
  );
});
