import { describe, expect, test } from "vitest";
import { ScriptedSequence } from "./__fixtures__/scripted-sequence.ts";
import { type GenerationJob, type GenerationModel, generate } from "./generation.ts";

const END = 0;
/** Tokens are character codes. */
const model: GenerationModel = {
  detokenize: (tokens) => String.fromCharCode(...tokens),
  isEogToken: (token) => token === END,
};

function codes(text: string): number[] {
  return Array.from(text, (letter) => letter.charCodeAt(0));
}

function job(fields: Partial<GenerationJob> = {}): GenerationJob {
  const sampling = { temperature: 0, topP: 1, topK: 0, minP: 0, yieldEogToken: true } as const;
  return { promptTokens: codes("prompt"), maxTokens: Infinity, stops: [], sampling, ...fields };
}

async function run(
  sequence: ScriptedSequence,
  fields: Partial<GenerationJob> = {},
  signal = new AbortController().signal,
) {
  const pieces: string[] = [];
  const result = await generate(model, sequence, job(fields), signal, (text) => void pieces.push(text));
  return { pieces, text: pieces.join(""), result };
}

describe("generate()", () => {
  test("passes text on token by token and counts the token that ends the answer", async () => {
    const { pieces, result } = await run(new ScriptedSequence(() => [...codes("abc"), END, ...codes("never")]));
    expect(pieces).toEqual(["a", "b", "c"]);
    expect(result).toEqual({ finishReason: "stop", promptTokens: 6, cachedTokens: 0, completionTokens: 4 });
  });

  test("ends with `length` after exactly maxTokens", async () => {
    const { text, result } = await run(new ScriptedSequence(() => codes("abcdef")), { maxTokens: 3 });
    expect(text).toBe("abc");
    expect(result).toMatchObject({ finishReason: "length", completionTokens: 3 });
  });

  test("ends at a stop string across tokens, which is not part of the text", async () => {
    const { text, result } = await run(new ScriptedSequence(() => codes("one two three")), { stops: ["o t"] });
    expect(text).toBe("one tw");
    expect(result).toMatchObject({ finishReason: "stop", completionTokens: "one two t".length });
  });

  test("passes on what looked like the start of a stop string when the answer ends inside it", async () => {
    const { text } = await run(new ScriptedSequence(() => [...codes("ab##"), END]), { stops: ["###"] });
    expect(text).toBe("ab##");
  });

  test("evaluates only what the sequence does not hold, and always at least the last token", async () => {
    const sequence = new ScriptedSequence(() => [...codes("x"), END]);
    await run(sequence);
    const again = await run(sequence);
    expect(again.result.cachedTokens).toBe(5);
    const other = await run(sequence, { promptTokens: codes("profit") });
    expect(other.result).toMatchObject({ cachedTokens: 3, promptTokens: 6 });
    expect(sequence.contextTokens).toEqual(codes("profitx"));
  });

  test("evaluates a long prompt in blocks and stops between them when the caller leaves", async () => {
    const sequence = new ScriptedSequence(() => [END]);
    const controller = new AbortController();
    const evaluate = sequence.evaluateWithoutGeneratingNewTokens.bind(sequence);
    sequence.evaluateWithoutGeneratingNewTokens = async (tokens) => {
      await evaluate(tokens);
      if (sequence.evaluations.length === 2) controller.abort(new Error("left"));
    };
    const promptTokens = Array.from({ length: 5_000 }, () => 1);
    await expect(run(sequence, { promptTokens }, controller.signal)).rejects.toThrow("left");
    expect(sequence.evaluations).toEqual([512, 512]);
  });

  test("stops within a token when the caller leaves, and lets go of the sampler", async () => {
    const controller = new AbortController();
    const sequence = new ScriptedSequence(function* () {
      for (;;) yield 97;
    });
    let seen = 0;
    const answer = generate(model, sequence, job(), controller.signal, () => {
      seen += 1;
      if (seen === 10) controller.abort(new Error("left"));
      return undefined;
    });
    await expect(answer).rejects.toThrow("left");
    expect(seen).toBe(10);
    expect(sequence.isEvaluating).toBe(false);
  });

  test("waits for a caller that reads slowly", async () => {
    const sequence = new ScriptedSequence(() => [...codes("abc"), END]);
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    let text = "";
    const answer = generate(model, sequence, job(), new AbortController().signal, (piece) => {
      text += piece;
      reached.resolve();
      return text === "a" ? gate.promise : undefined;
    });
    await reached.promise;
    expect(sequence.evaluations).toHaveLength(1);
    gate.resolve();
    await answer;
    expect(text).toBe("abc");
  });
});
