import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { matchesGlob, mayUse } from "./model-rules.ts";

describe("mayUse()", () => {
  test("allows every model without a list and none with an empty one", () => {
    expect(mayUse({ models: null }, "x")).toBe(true);
    expect(mayUse({ models: [] }, "x")).toBe(false);
  });

  test.each([
    [["a", "qwen3:8b"], "qwen3:8b", true],
    [["qwen3:8b"], "Qwen3:8b", false],
    [["qwen3:8b"], "qwen3:8b-cloud", false],
    [["qwen*"], "qwen3:8b", true],
    [["*:8b"], "a/qwen3:8b", true],
    [["a*c*e"], "abcde", true],
    [["a*c*e"], "abcdef", false],
    [["*"], "", true],
    [["."], "x", false],
    [["a.c"], "abc", false],
  ])("%j for %s: %s", (models, model, expected) => {
    expect(mayUse({ models }, model)).toBe(expected);
  });
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
