import { expect, test } from "vitest";
import { signThinking } from "./thinking-signature.ts";

const message = (content: string) => Buffer.from(`{"type":"message","content":${content},"usage":{"output_tokens":1}}`);

// The AI SDK refused every answer of an Ollama whose model thinks.
test("signThinking() gives a thought without a signature an empty one, and touches nothing else", () => {
  const said = message(
    '[{"type":"thinking","thinking":"hm"},{"type":"text","text":"\\"thinking\\" 1.0"},{"id":9007199254740993}]',
  );
  expect(String(signThinking(said))).toBe(String(said).replace('"thinking":"hm"}', '"thinking":"hm","signature":""}'));
});

test("signThinking() hands on the same buffer where nothing is missing", () => {
  for (const content of [
    "[]",
    '[{"type":"text","text":"thinking"}]',
    '[{"type":"thinking","thinking":"hm","signature":"abc"}]',
    '[{"type":"redacted_thinking","data":"x"},{"thinking":1},7]',
  ]) {
    const said = message(content);
    expect(signThinking(said)).toBe(said);
  }
});
