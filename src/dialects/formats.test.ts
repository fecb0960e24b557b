import { describe, expect, test } from "vitest";
import { formatFor } from "./formats.ts";

describe("formatFor()", () => {
  test("asks natively where the engine has the operation", () => {
    const format = formatFor("openai.chat", new Set(["openai.completions", "openai.chat"]));
    expect(format?.operation.id).toBe("openai.chat");
    expect(format?.isTranslated).toBe(false);
    expect(formatFor("openai.chat", new Set(["openai.chat"]))).toBe(format);
  });

  test("says that nothing helps where nothing does", () => {
    expect(formatFor("openai.chat", new Set(["openai.embeddings"]))).toBeNull();
    expect(formatFor("openai.models", new Set(["openai.chat", "openai.models"]))).toBeNull();
    expect(formatFor("__proto__", new Set(["openai.chat"]))).toBeNull();
  });
});
