import { describe, expect, test } from "vitest";
import { PosternError } from "../../errors.ts";
import { scanBody } from "../../lib/json-scan.ts";
import { codecFor } from "../codecs.ts";

const CONTEXT = {
  id: "r",
  model: "m",
  createdAtMs: 0,
  wantsUsage: false,
  estimatedTokensIn: 1,
};

const chat = codecFor("ollama.chat");
const generate = codecFor("ollama.generate");
const embed = codecFor("ollama.embed");
const embeddings = codecFor("ollama.embeddings");

function usage(tokensIn: number, tokensOut: number, isEstimated = false, tokensInCached = 0): unknown {
  return { tokensIn, tokensInCached, tokensOut, tokensReasoning: null, isEstimated };
}

describe("readAnswer()", () => {
  test("takes the engine's word; a count that was left out is not zero where it cannot be", () => {
    const body =
      '{"model":"m","message":{"role":"assistant","content":"hi"},"done":true,"prompt_eval_count":26,"prompt_eval_cached_count":20,"eval_count":9}';
    expect(chat.readAnswer(Buffer.from(body), 100)).toEqual(usage(26, 9, false, 20));
    const cached = '{"response":"hi","done":true,"done_reason":"stop","eval_count":9}';
    // Older versions leave the prompt's count out where all of it came from the cache.
    expect(generate.readAnswer(Buffer.from(cached), 100)).toEqual(usage(25, 9, true));
    const silent = '{"response":"four","done":true,"prompt_eval_count":7}';
    expect(generate.readAnswer(Buffer.from(silent), 100)).toEqual(usage(7, 1, true));
    const load = '{"message":{"role":"assistant","content":""},"done":true,"done_reason":"load"}';
    expect(chat.readAnswer(Buffer.from(load), 100)).toEqual(usage(0, 0));
    expect(embed.readAnswer(Buffer.from('{"embeddings":[[0.5]],"prompt_eval_count":8}'), 1)).toEqual(usage(8, 0));
  });

  test("estimates, flagged, where there is no count at all", () => {
    const body = Buffer.from('{"message":{"content":"hi"},"done":true}');
    expect(chat.readAnswer(body, 40)).toEqual(usage(10, 1, true));
    const calls = '{"message":{"content":"","tool_calls":[{"function":{"name":"f","arguments":{}}}]},"done":true}';
    expect(chat.readAnswer(Buffer.from(calls), 40)).toEqual(usage(10, 11, true));
    expect(embed.readAnswer(Buffer.from('{"embeddings":[[0.5]]}'), 40)).toEqual(usage(10, 0, true));
    expect(embeddings.readAnswer(Buffer.from('{"embedding":[0.5]}'), 40)).toEqual(usage(10, 0, true));
  });

  test.each([
    "",
    "[]",
    '{"message":{"content":"hi"},"done":false}',
    '{"message":{"content":"hi"}}',
    '{"message":"hi","done":true}',
    '{"response":"hi","done":true}',
    '{"message":{},"done":true,"error":"x"}',
    '{"error":"model not found"}',
    '{"message":{},"done":true}x',
  ])("says that %j is no answer to a chat", (body) => {
    expect(chat.readAnswer(Buffer.from(body), 0)).toBeNull();
  });

  test("tells the two forms of embeddings apart", () => {
    expect(embed.readAnswer(Buffer.from('{"embedding":[0.5]}'), 0)).toBeNull();
    expect(embeddings.readAnswer(Buffer.from('{"embeddings":[[0.5]]}'), 0)).toBeNull();
  });
});

describe("the stream's own words", () => {
  const atMs = Date.UTC(2026, 10, 20, 14, 0, 0, 5);

  test("keep alive with a whole chunk of nothing", () => {
    const facts = chat.inspect(scanBody(Buffer.from('{"model":"llama3","messages":[]}')));
    expect(chat.keepAlive(facts, atMs).toString()).toBe(
      '{"model":"llama3","created_at":"2026-11-20T14:00:00.005Z","message":{"role":"assistant","content":""},"done":false}\n',
    );
    expect(generate.keepAlive(facts, atMs).toString()).toBe(
      '{"model":"llama3","created_at":"2026-11-20T14:00:00.005Z","response":"","done":false}\n',
    );
  });

  test("tell of trouble in one line, without what is not the caller's business", () => {
    const error = new PosternError("engine_cut", {
      message: "line\nbreak",
      hint: "secret",
      detail: { host: "10.0.0.1" },
    });
    expect(chat.inBandError(error, CONTEXT).toString()).toBe('{"error":"line\\nbreak"}\n');
  });
});
