import { describe, expect, test } from "vitest";
import { formatFor } from "./formats.ts";

describe("formatFor()", () => {
  test("asks natively where the engine has the operation", () => {
    const format = formatFor("openai.chat", new Set(["openai.completions", "anthropic.messages", "openai.chat"]));
    expect(format?.operation.id).toBe("openai.chat");
    expect(format?.isTranslated).toBe(false);
    expect(formatFor("openai.chat", new Set(["openai.chat"]))).toBe(format);
  });

  test.each([
    ["openai.chat", ["ollama.chat", "anthropic.messages"], "anthropic.messages"],
    ["openai.chat", ["ollama.chat"], "ollama.chat"],
    ["openai.responses", ["ollama.chat", "anthropic.messages", "openai.chat"], "openai.chat"],
    ["openai.responses", ["ollama.chat", "anthropic.messages"], "anthropic.messages"],
    ["openai.responses", ["ollama.chat"], "ollama.chat"],
    ["anthropic.messages", ["ollama.chat", "openai.chat"], "openai.chat"],
    ["anthropic.messages", ["ollama.chat"], "ollama.chat"],
    ["ollama.chat", ["anthropic.messages", "openai.chat"], "openai.chat"],
    ["ollama.chat", ["anthropic.messages"], "anthropic.messages"],
    ["ollama.generate", ["anthropic.messages", "openai.chat"], "openai.chat"],
    ["ollama.generate", ["anthropic.messages"], "anthropic.messages"],
    ["openai.embeddings", ["ollama.embed"], "ollama.embed"],
    ["ollama.embed", ["openai.embeddings"], "openai.embeddings"],
  ])("%s asks an engine with %j by %s", (caller, engine, asked) => {
    const format = formatFor(caller, new Set(engine));
    expect(format?.operation.id).toBe(asked);
    expect(format?.isTranslated).toBe(true);
    expect(format?.streamType).toBe(asked.startsWith("ollama.chat") ? "application/x-ndjson" : format?.streamType);
  });

  test("makes the formats of conversations once", () => {
    const engine = new Set(["openai.chat"]);
    expect(formatFor("anthropic.messages", engine)).toBe(formatFor("anthropic.messages", engine));
  });

  test("says that nothing helps where nothing does", () => {
    expect(formatFor("openai.chat", new Set(["openai.embeddings"]))).toBeNull();
    expect(formatFor("anthropic.count_tokens", new Set(["openai.chat"]))).toBeNull();
    expect(formatFor("openai.models", new Set(["openai.chat", "openai.models"]))).toBeNull();
    expect(formatFor("__proto__", new Set(["openai.chat"]))).toBeNull();
  });
});
