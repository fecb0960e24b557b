import { afterEach, describe, expect, it } from "vitest";
import { chatBody, chatRequest } from "../../test/support/chat.ts";
import { type DataPlane, startDataPlane } from "../../test/support/data-plane.ts";
import type { PlayedAttempt, PlayedTarget } from "../../test/support/played-target.ts";
import type { RawConnection } from "../../test/support/raw-connection.ts";
import { MAX_CONTINUED_LENGTH } from "../dialects/continued-writer.ts";

let plane: DataPlane;
afterEach(() => plane.close());

const CUT = { phase: "body", kind: "cut", detail: "cut" } as const;

async function start(nodes = ["forge", "anvil"], isRescued = true): Promise<PlayedTarget[]> {
  plane = await startDataPlane({ isRescued });
  const targets = plane.serve("llama", ...nodes);
  targets.forEach((target, index) => {
    target.inFlight = index * 50;
  });
  return targets;
}

function ask(fields: Record<string, unknown> = {}): RawConnection {
  return plane.raw(chatRequest(plane.key, chatBody("llama", { stream: true, ...fields })));
}

/** An answer that breaks off after its beginning. */
async function begin(target: PlayedTarget | undefined, caller: RawConnection, ...words: string[]) {
  const attempt = await target!.next();
  attempt.streamHead();
  for (const word of words) attempt.token(word);
  await caller.until(words.at(-1) ?? "");
  return attempt;
}

function text(caller: RawConnection): string {
  return [...caller.text.matchAll(/"content":("(?:[^"\\]|\\.)*")/g)]
    .map(([, json = '""']) => JSON.parse(json))
    .join("");
}

function bodyOf(attempt: PlayedAttempt): Record<string, unknown> {
  return JSON.parse(String(attempt.request.body)) as Record<string, unknown>;
}

describe("a stream that breaks off", () => {
  it("is gone on with by another target, from the text that the caller has, and says so at its end", async () => {
    const [forge, anvil] = await start();
    const caller = ask({ stream_options: { include_usage: true }, max_tokens: 100 });
    (await begin(forge, caller, "Once ", "upon ", "a ")).handler.onFailure(CUT);
    const second = await anvil!.next();
    expect(bodyOf(second)).toMatchObject({
      continue_final_message: true,
      add_generation_prompt: false,
      messages: [
        { role: "user", content: "hi" },
        { role: "assistant", content: "Once upon a " },
      ],
      max_tokens: 97,
    });
    second.streamHead();
    second.token("time there ");
    second.token("was an end.");
    second.finish(20, 5);
    await caller.until("[DONE]");
    expect(text(caller)).toBe("Once upon a time there was an end.");
    expect(caller.text).not.toContain('"error"');
    expect(caller.text.match(/"role":"assistant"/g)).toHaveLength(1);
    expect(caller.text).toMatch(/data: \{"postern":\{"rescued":true\},[^\n]*"completion_tokens":8[^\n]*\n/);
    expect(plane.closed[0]).toMatchObject({ outcome: "ok", fallback: "rescued", tokensOut: 8, isEstimated: true });
    expect(plane.closed[0]?.attempts.map(({ errorCode }) => errorCode)).toEqual(["engine_cut", null]);
    caller.socket.destroy();
  });

  it("is gone on with after a stall, and after an error that the engine tells in-band", async () => {
    const [forge, anvil, third] = await start(["forge", "anvil", "third"]);
    const caller = ask();
    await begin(forge, caller, "one ");
    for (let passed = 0; passed < 121_000; passed += 1_000) plane.clock.advance(1_000);
    const second = await begin(anvil, caller, "two three four five six seven ");
    second.data('data: {"error":{"message":"out of memory"}}\n\n');
    second.handler.onEnd();
    const last = await third!.next();
    last.streamHead();
    last.token("eight");
    last.finish();
    await caller.until("[DONE]");
    expect(text(caller)).toBe("one two three four five six seven eight");
    expect(caller.text).not.toContain("out of memory");
    caller.socket.destroy();
  });

  it("is told as it broke off where whoever should go on refuses, in its own words or not at all", async () => {
    const [forge, anvil] = await start();
    const caller = ask();
    (await begin(forge, caller, "one ")).handler.onFailure(CUT);
    (await anvil!.next()).answer(400, { error: { message: "Assistant response prefill is not supported" } });
    const all = await caller.untilClosed();
    expect(all).toContain("engine_cut");
    expect(all).not.toMatch(/prefill|\[DONE\]|rescued/);
    // One token has come: whoever refuses to go on adds none.
    expect(plane.closed[0]).toMatchObject({ outcome: "failed", errorCode: "engine_cut", fallback: null, tokensOut: 1 });
  });

  it("is an error where the other target begins the answer anew", async () => {
    const [forge, anvil] = await start();
    const caller = ask();
    const words = "The quick brown fox jumps over the lazy dog";
    (await begin(forge, caller, words)).handler.onFailure(CUT);
    const second = await anvil!.next();
    second.streamHead();
    second.token("The quick brown ");
    second.token("fox jumps over ");
    const all = await caller.untilClosed();
    expect(text(caller)).toBe(words);
    expect(all).toContain("engine_cut");
  });

  it.each<[string, Record<string, unknown>]>([
    ["tools", { tools: [{ type: "function", function: { name: "f", parameters: {} } }] }],
    ["JSON", { response_format: { type: "json_object" } }],
    ["logprobs", { logprobs: true }],
    ["several choices", { n: 2 }],
    ["stop strings", { stop: ["END"] }],
    ["thinking", { reasoning_effort: "high" }],
  ])("is an error where the request asks for %s", async (_what, fields) => {
    const [forge, anvil] = await start();
    const caller = ask(fields);
    (await begin(forge, caller, "one ")).handler.onFailure(CUT);
    expect(await caller.untilClosed()).toContain("engine_cut");
    expect(anvil!.attempts).toHaveLength(0);
  });

  it("is an error after thinking, after its end, beyond the bound, and where the bound of the answer is used up", async () => {
    const plays: Array<[fields: Record<string, unknown>, play: (attempt: PlayedAttempt) => void]> = [
      [{}, (attempt) => attempt.data('data: {"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}\n\n')],
      [{}, (attempt) => attempt.data('data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n')],
      [{}, (attempt) => attempt.token("x".repeat(MAX_CONTINUED_LENGTH))],
      [{ max_tokens: 1 }, () => {}],
    ];
    for (const [fields, play] of plays) {
      const [forge, anvil] = await start();
      const caller = ask(fields);
      const attempt = await begin(forge, caller, "one ");
      play(attempt);
      attempt.handler.onFailure(CUT);
      expect(await caller.untilClosed()).toContain("engine_cut");
      expect(anvil!.attempts).toHaveLength(0);
      await plane.close();
    }
    await start();
  });

  it("is an error where the model does not want it, and where no engine is known to go on", async () => {
    const [forge, anvil] = await start(["forge", "anvil"], false);
    const caller = ask();
    (await begin(forge, caller, "one ")).handler.onFailure(CUT);
    expect(await caller.untilClosed()).toContain("engine_cut");
    expect(anvil!.attempts).toHaveLength(0);
    await plane.close();
    const [first, second] = await start();
    second!.engineKind = "ollama";
    const other = ask();
    (await begin(first, other, "one ")).handler.onFailure(CUT);
    expect(await other.untilClosed()).toContain("engine_cut");
    expect(second!.attempts).toHaveLength(0);
  });

  it("of a caller that leaves during the rescue is stopped", async () => {
    const [forge, anvil] = await start();
    const caller = ask();
    (await begin(forge, caller, "one ")).handler.onFailure(CUT);
    const second = await anvil!.next();
    caller.socket.destroy();
    expect(await second.whenCancelled).toBe("caller_left");
    expect(plane.closed).toMatchObject([{ outcome: "aborted" }]);
    expect(plane.closed[0]?.tokensOut).toBeGreaterThan(0);
  });
});

it("a whole stream of a model with rescue on is the same to its caller", async () => {
  const [forge] = await start();
  const caller = ask();
  const attempt = await begin(forge, caller, "one ");
  attempt.token("two");
  attempt.finish(3, 2);
  await caller.until("[DONE]");
  expect(text(caller)).toBe("one two");
  expect(caller.text).not.toMatch(/rescued|"usage"/);
  expect(plane.closed[0]).toMatchObject({
    outcome: "ok",
    tokensIn: 3,
    tokensOut: 2,
    isEstimated: false,
    fallback: null,
  });
  caller.socket.destroy();
});
