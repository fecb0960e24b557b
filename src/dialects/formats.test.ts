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

  test.each([
    ["ollama.chat", "openai.chat"],
    ["ollama.generate", "openai.chat"],
    ["openai.chat", "ollama.chat"],
    ["openai.embeddings", "ollama.embed"],
    ["ollama.embed", "openai.embeddings"],
    ["ollama.embeddings", "openai.embeddings"],
    ["ollama.embeddings", "ollama.embed"],
  ])("translates %s for an engine that has %s only", (caller, engine) => {
    expect(formatFor(caller, new Set([engine]))).toMatchObject({ operation: { id: engine }, isTranslated: true });
  });

  test("never shares a format that remembers what was asked", () => {
    const engine = new Set(["ollama.embed"]);
    expect(formatFor("openai.embeddings", engine)).not.toBe(formatFor("openai.embeddings", engine));
  });
});
