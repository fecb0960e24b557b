import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { MAX_RECORD_BYTES } from "../dialect.ts";
import { cutAt, type FixtureName, readFixture, singleBytes } from "./__fixtures__/fixture.ts";
import { OllamaStreamTap } from "./stream-tap.ts";

interface Passed {
  out: string;
  tail: string | null;
  tap: OllamaStreamTap;
}

function pass(chunks: readonly (string | Buffer)[]): Passed {
  const tap = new OllamaStreamTap(400);
  const out = chunks.map((chunk) => tap.push(Buffer.from(chunk as string)));
  const tail = tap.finish();
  return { out: Buffer.concat(out).toString(), tail: tail === null ? null : tail.toString(), tap };
}

function line(content: string, more = ""): string {
  return `{"model":"m","created_at":"2026-11-20T14:00:00Z","message":{"role":"assistant","content":${JSON.stringify(content)}},"done":false${more}}\n`;
}

const DONE =
  '{"model":"m","created_at":"2026-11-20T14:00:01Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":26,"eval_count":5}\n';

/** Usage as each transcript says it. */
const USAGE: Partial<Record<FixtureName, [number, number, number]>> = {
  "chat-text": [26, 0, 5],
  "chat-thinking": [29, 16, 4],
  "chat-tools": [122, 0, 33],
  "chat-logprobs": [26, 0, 3],
  "chat-load": [0, 0, 0],
  "generate-text": [11, 0, 3],
};

describe("OllamaStreamTap", () => {
  test.each(Object.entries(USAGE))("passes %s on byte for byte, cut anywhere, with its own usage", (name, usage) => {
    const bytes = readFixture(name as FixtureName);
    for (const chunks of [[bytes], singleBytes(bytes)]) {
      const { out, tail, tap } = pass(chunks);
      expect(out + tail).toBe(bytes.toString());
      expect(tail).toBe(`${bytes.toString().trimEnd().split("\n").at(-1)}\n`);
      expect(tap.completion).toBe("complete");
      const [tokensIn, tokensInCached, tokensOut] = usage;
      expect(tap.usage()).toEqual({ tokensIn, tokensInCached, tokensOut, tokensReasoning: null, isEstimated: false });
    }
  });

  test("gives the same bytes and the same usage however the stream is cut", () => {
    const names: FixtureName[] = [
      "chat-text",
      "chat-thinking",
      "chat-tools",
      "chat-logprobs",
      "chat-error",
      "chat-spaced",
    ];
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.array(fc.nat(3000), { maxLength: 60 }), (name, places) => {
        const whole = pass([readFixture(name)]);
        const again = pass(cutAt(readFixture(name), places));
        expect(again.out).toBe(whole.out);
        expect(again.tail).toBe(whole.tail);
        expect(again.tap.usage()).toEqual(whole.tap.usage());
        expect(again.tap.completion).toBe(whole.tap.completion);
        expect(again.tap.hasContent).toBe(whole.tap.hasContent);
      }),
      { numRuns: 300 },
    );
  });

  test("hands the same buffer on and parses nothing once content has begun", () => {
    const tap = new OllamaStreamTap(0);
    tap.push(Buffer.from(line("first")));
    const parse = vi.spyOn(JSON, "parse");
    const chunk = Buffer.from(line('"done":true} {"error":"x"}') + line("b"));
    expect(tap.push(chunk)).toBe(chunk);
    expect(parse).not.toHaveBeenCalled();
    parse.mockRestore();
    expect(tap.completion).toBe("open");
  });

  test("never writes to what it handed out", () => {
    const bytes = readFixture("chat-text");
    const tap = new OllamaStreamTap(0);
    const out = cutAt(bytes, [100, 250, 251, 400, 600]).map((chunk) => tap.push(chunk));
    const copies = out.map((piece) => piece.toString());
    tap.finish();
    expect(out.map((piece) => piece.toString())).toEqual(copies);
  });

  test("holds the last line back until the stream has ended", () => {
    const tap = new OllamaStreamTap(0);
    expect(tap.push(Buffer.from(line("a") + DONE)).toString()).toBe(line("a"));
    expect(tap.completion).toBe("complete");
    expect(tap.finish()?.toString()).toBe(DONE);
  });

  test("knows the last line, whatever the model wrote into a call", () => {
    const last =
      '{"message":{"content":"","tool_calls":[{"function":{"name":"f","arguments":{"done":false}}}]},"done":true}\n';
    expect(pass([line("a"), last])).toMatchObject({ out: line("a"), tail: last });
  });

  test("lets nothing pass behind the last line", () => {
    const { out, tail } = pass([line("a"), DONE, line("late"), DONE]);
    expect(out).toBe(line("a"));
    expect(tail).toBe(DONE);
  });

  test("takes a last line without its line feed, and half of one for nothing", () => {
    expect(pass([line("a"), DONE.trimEnd()]).tail).toBe(DONE);
    expect(pass([line("a"), DONE.slice(0, -20)])).toMatchObject({ out: line("a"), tail: null });
    expect(pass([line("a"), line("b").trimEnd()]).tail).toBeNull();
  });

  test("has no clean end for a stream that was cut, and estimates what was sent, flagged", () => {
    const { tail, tap } = pass([line("a"), line("b".repeat(400)), line("c")]);
    expect(tail).toBeNull();
    expect(tap.completion).toBe("open");
    expect(tap.usage()).toEqual({
      tokensIn: 100,
      tokensInCached: 0,
      tokensOut: 101,
      tokensReasoning: null,
      isEstimated: true,
    });
  });

  test("passes an engine's error on once, and ends as failed", () => {
    const { out, tail, tap } = pass([readFixture("chat-error"), line("late"), DONE]);
    expect(out).toBe(readFixture("chat-error").toString());
    expect(tail).toBeNull();
    expect(tap.completion).toBe("engine_error");
    expect(tap.usage().isEstimated).toBe(true);
  });

  test("tells an error before any content", () => {
    const { tap } = pass(['{"error":"model requires more system memory"}\n']);
    expect(tap).toMatchObject({ completion: "engine_error", hasContent: false });
  });

  test("never passes a blank line: ollama-python ends at one", () => {
    const { out } = pass(["\n", line("a"), "\r\n", " \n", line("b"), "\n", DONE]);
    expect(out).toBe(line("a") + line("b"));
  });

  test.each([
    ["content", line("x"), true],
    ["thinking", '{"message":{"role":"assistant","content":"","thinking":"x"},"done":false}\n', true],
    [
      "a tool call",
      '{"message":{"content":"","tool_calls":[{"function":{"name":"f","arguments":{}}}]},"done":false}\n',
      true,
    ],
    ["response", '{"response":"x","done":false}\n', true],
    ["an empty chunk", line(""), false],
    ["no tool call", '{"message":{"content":"","tool_calls":[]},"done":false}\n', false],
    ["wrong types", '{"message":"x","response":7,"done":"true"}\n', false],
    ["a hostile name", '{"__proto__":{"response":"x"},"done":false}\n', false],
  ])("knows content: %s", (_name, text, expected) => {
    expect(pass([text]).tap.hasContent).toBe(expected);
  });

  test("estimates an answer whose engine counted nothing, so that it is not free", () => {
    const { tap } = pass([readFixture("chat-spaced")]);
    expect(tap.usage()).toMatchObject({ tokensIn: 100, tokensOut: 2, isEstimated: true });
  });

  test("leaves lines out that are not JSON, but not for ever", () => {
    expect(pass([line("a"), "garbage\n", line("b"), DONE]).out).toBe(line("a") + line("b"));
    expect(() => pass([line("a"), "garbage\n".repeat(9)])).toThrow("not acceptable");
    expect(() => pass([line("a"), "garbage\n".repeat(8), "garbage"])).not.toThrow();
  });

  test("holds no line beyond its bound, however it comes", () => {
    const huge = Buffer.alloc(MAX_RECORD_BYTES + 1, 0x61);
    expect(() => pass([huge])).toThrow("not acceptable");
    expect(() => pass([Buffer.concat([huge, Buffer.from("\n")])])).toThrow("not acceptable");
  });
});
