import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TranscriptStreamTap } from "./stream-tap.ts";

const record = (value: object, ends = "\n\n") => `data: ${JSON.stringify(value)}${ends}`;
const delta = (text: string) => record({ type: "transcript.text.delta", delta: text });
const USAGE = { type: "tokens", input_tokens: 14, output_tokens: 4, input_token_details: { audio_tokens: 14 } };
const DONE = record({ type: "transcript.text.done", text: "Hellö you", usage: USAGE });
const chunk = (text: string, finish?: string) =>
  record({ object: "transcription.chunk", choices: [{ delta: { content: text }, finish_reason: finish }] }, "\r\n\r\n");
const USAGE_CHUNK = record({
  object: "transcription.chunk",
  choices: [],
  usage: { prompt_tokens: 40, completion_tokens: 6 },
});
const END = "data: [DONE]\n\n";

function through(tap: TranscriptStreamTap, pieces: readonly Buffer[]): string | null {
  const out = pieces.map((piece) => Buffer.from(tap.push(piece)));
  const end = tap.finish();
  return end === null ? null : Buffer.concat([...out, end]).toString();
}

describe("TranscriptStreamTap", () => {
  const openAi = delta("Hellö") + delta(" you") + DONE;
  const vllm = chunk("Hellö") + chunk(" you", "stop") + chunk(" there", "stop") + USAGE_CHUNK + END;

  test("passes the same bytes however they are cut, and hides usage that was not asked for", () => {
    const cases = [
      { body: openAi, out: openAi, tokensIn: 14, tokensOut: 4 },
      { body: openAi + END, out: openAi + END, tokensIn: 14, tokensOut: 4 },
      { body: vllm, out: vllm.replace(USAGE_CHUNK, ""), tokensIn: 40, tokensOut: 6 },
    ];
    fc.assert(
      fc.property(
        fc.constantFrom(...cases),
        fc.array(fc.nat(), { maxLength: 8 }),
        ({ body, out, ...usage }, places) => {
          const bytes = Buffer.from(body);
          const cuts = [...new Set([0, ...places.map((place) => place % bytes.length), bytes.length])].sort(
            (a, b) => a - b,
          );
          const pieces = cuts.slice(1).map((end, index) => bytes.subarray(cuts[index], end));
          const tap = new TranscriptStreamTap({ wantsUsage: false }, 400);
          expect(through(tap, pieces)).toBe(out);
          expect(tap.completion).toBe("complete");
          expect(tap.usage()).toMatchObject({ ...usage, isEstimated: false });
        },
      ),
    );
  });

  test("has no end without evidence: a part of a long recording that finished is none", () => {
    const tap = new TranscriptStreamTap({ wantsUsage: true }, 400);
    expect(through(tap, [Buffer.from(chunk("Hello", "stop"))])).toBeNull();
    expect(tap.hasContent).toBe(true);
    expect(tap.usage()).toMatchObject({ tokensIn: 100, tokensOut: 2, isEstimated: true });
  });

  test("passes an error on and counts what was sent before it", () => {
    const tap = new TranscriptStreamTap({ wantsUsage: true }, 400);
    const error = record({ error: { message: "broken", code: 500 } });
    expect(tap.push(Buffer.from(chunk("Hello") + error)).toString()).toBe(chunk("Hello") + error);
    expect(tap.completion).toBe("engine_error");
    expect(tap.finish()).toBeNull();
  });

  test("leaves records out that are not JSON, and takes many of them for a bad answer", () => {
    const tap = new TranscriptStreamTap({ wantsUsage: true }, 400);
    expect(tap.push(Buffer.from(`data: {"type":\n\n${delta("a")}`)).toString()).toBe(delta("a"));
    expect(() => tap.push(Buffer.from("data: x\n\n".repeat(9)))).toThrow("not acceptable");
  });

  test("never throws anything but what it says, whatever an engine writes", () => {
    const piece = fc.oneof(
      fc.constantFrom(
        "data: ",
        "\n\n",
        "\r\n",
        "event: error\n",
        END,
        DONE,
        delta("a"),
        chunk("b"),
        '{"choices":[null,3,{"delta":7}]}',
      ),
      fc.json().map((json) => `data: ${json}\n\n`),
      fc.string({ unit: "binary", maxLength: 20 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const tap = new TranscriptStreamTap({ wantsUsage: true }, 400);
        try {
          for (const one of pieces) tap.push(Buffer.from(one));
          tap.finish();
        } catch (error) {
          expect(error).toMatchObject({ code: "engine_bad_answer" });
        }
        const { tokensIn, tokensOut } = tap.usage();
        expect(tokensIn).toBeGreaterThan(0);
        expect(Number.isSafeInteger(tokensOut)).toBe(true);
      }),
    );
  });
});
