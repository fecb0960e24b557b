import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { readPage } from "../../scripts/docs.ts";
import { type CallerView, judge, type Verdict } from "../support/caller-view.ts";
import { type FaultBench, type Primary, startFaultBench } from "../support/fault-bench.ts";
import type { Behaviour } from "../support/fault-upstream.ts";

const BUSY = { message: "Service temporarily overloaded", type: "overloaded", code: "busy" };
const once =
  (fault: Behaviour): Behaviour =>
  (answer, count) =>
    count === 1 ? fault(answer, count) : answer.whole();

/** Where the request itself is at fault, a clear error is what it should get. */
const ERROR_IS_RIGHT: ReadonlySet<string> = new Set(["S12", "S13"]);

/** What the page says of each scenario. The tests below measure it. */
const PAGE = new Map(
  [...readPage("docs/reference/faults.md").matchAll(/^\| (S\d\d) \|.*\| (pass|safe)[^|]*\|$/gm)].map(
    ([, id = "", verdict = ""]) => [id, verdict as Verdict],
  ),
);

it("docs/reference/faults.md has a verdict for each of the sixteen scenarios", () => {
  expect([...PAGE.keys()]).toEqual(Array.from({ length: 16 }, (_, at) => `S${String(at + 1).padStart(2, "0")}`));
});

describe.each<Primary>(["node", "provider"])("with a %s that is asked first", (primary) => {
  let bench: FaultBench;
  beforeAll(async () => {
    bench = await startFaultBench(primary);
  });
  afterAll(() => bench.close());
  afterEach(async () => {
    bench.primary = (answer) => answer.whole();
    bench.fallback = (answer) => answer.whole();
    bench.spare = (answer) => answer.whole();
    // Well again, and no breaker remembers anything: the next scenario begins as the first did.
    await bench.clock.pass(60_000);
    for (let probe = 0; probe < 2; probe++) expect(judge(await bench.ask({ model: "alone" }))).toBe("pass");
    await bench.clock.pass(60_000);
    bench.reset();
  });

  function check(id: string, view: CallerView): void {
    const verdict = judge(view);
    const isRight = verdict === "safe" && ERROR_IS_RIGHT.has(id);
    expect(isRight ? "pass" : verdict, `${id}: ${view.body}`).toBe(PAGE.get(id));
  }

  it.each([true, false])("S01: 429 with Retry-After once (streamed: %s)", async (isStream) => {
    bench.primary = once((answer) => answer.error(429, { message: "slow down" }, { "retry-after": "2" }));
    check("S01", await bench.ask({ isStream }));
    expect(bench.counts).toMatchObject({ primary: 1, fallback: 1 });
  });

  it("S01: the only target is asked again after its pause", async () => {
    bench.primary = once((answer) => answer.error(429, { message: "slow down" }, { "retry-after": "2" }));
    check("S01", await bench.askFor(5_000, { model: "alone" }));
    expect(bench.counts).toMatchObject({ primary: 2, fallback: 0 });
  });

  it.each([true, false])("S02: 429 without Retry-After, always (streamed: %s)", async (isStream) => {
    bench.primary = (answer) => answer.error(429, { message: "slow down" });
    check("S02", await bench.ask({ isStream }));
    expect(bench.counts.primary + bench.counts.fallback).toBeLessThanOrEqual(4);
  });

  it.each([true, false])("S03: 500 once (streamed: %s)", async (isStream) => {
    bench.primary = once((answer) => answer.error(500, { message: "oops" }));
    check("S03", await bench.askFor(1_000, { isStream }));
    expect(bench.counts).toMatchObject({ primary: 2, fallback: 0 });
  });

  it.each([true, false])("S04: 503 always (streamed: %s)", async (isStream) => {
    bench.primary = (answer) => answer.error(503, BUSY);
    check("S04", await bench.askFor(2_000, { isStream }));
    expect(bench.counts.primary).toBeLessThanOrEqual(6);
    const alone = await bench.askFor(2_000, { model: "alone", isStream });
    expect(alone).toMatchObject({ status: 503, error: BUSY });
    expect(bench.counts.primary).toBeLessThanOrEqual(6);
  });

  it.each([true, false])("S05: reset before headers, once (streamed: %s)", async (isStream) => {
    bench.primary = once((answer) => answer.reset());
    check("S05", await bench.askFor(1_000, { isStream }));
    expect(bench.counts.primary + bench.counts.fallback).toBe(2);
  });

  it("S06: accepts and never answers", async () => {
    bench.primary = () => {};
    check("S06", await bench.askFor(100_000));
    expect(bench.counts).toMatchObject({ primary: 1, fallback: 1 });
  });

  it("S07: headers at once, first token after 20 s", async () => {
    bench.primary = (answer) => {
      answer.head();
      answer.clock.after(20_000, () => {
        answer.words(0, 60);
        answer.finish();
        answer.end();
      });
    };
    check("S07", await bench.askFor(30_000));
    expect(bench.counts).toMatchObject({ primary: 1, fallback: 1 });
  });

  it("S08: cut after 40 of 60 tokens", async () => {
    bench.primary = (answer) => {
      answer.head();
      answer.words(0, 40);
      answer.cut();
    };
    const view = await bench.ask();
    check("S08", view);
    expect(view.error?.code).toBe("engine_cut");
  });

  it("S09: silent for 30 s after 20 tokens", async () => {
    bench.primary = (answer) => {
      answer.head();
      answer.words(0, 20);
    };
    const view = await bench.askFor(45_000);
    check("S09", view);
    expect(view.error?.code).toBe("engine_stalled");
    bench.primary = (answer) => answer.whole();
    expect(judge(await bench.ask())).toBe("pass");
  });

  it("S10: one event is invalid JSON", async () => {
    bench.primary = (answer) => {
      answer.head();
      answer.words(0, 30);
      answer.raw("data: {not json\n\n");
      answer.words(30, 60);
      answer.finish();
      answer.end();
    };
    check("S10", await bench.ask());
  });

  it("S11: complete, clean, and [DONE] missing", async () => {
    bench.primary = (answer) => {
      answer.head();
      answer.words(0, 60);
      answer.finish();
      answer.endBare();
    };
    const view = await bench.ask();
    check("S11", view);
    expect(view).toMatchObject({ hasDone: true, usage: { completion_tokens: 60 } });
  });

  it.each([true, false])("S12: 400 context_length_exceeded (streamed: %s)", async (isStream) => {
    bench.primary = (answer) =>
      answer.error(400, { message: "too long", type: "invalid_request_error", code: "context_length_exceeded" });
    const view = await bench.ask({ isStream });
    check("S12", view);
    expect(view).toMatchObject({ status: 400, error: { code: "context_length_exceeded" } });
    expect(bench.counts).toMatchObject({ primary: 1, fallback: 0 });
  });

  it.each([true, false])("S13: 400 content_policy_violation (streamed: %s)", async (isStream) => {
    const error = {
      message: "violates the policy on X",
      type: "invalid_request_error",
      code: "content_policy_violation",
    };
    bench.primary = (answer) => answer.error(400, error);
    const view = await bench.ask({ isStream });
    check("S13", view);
    expect(view).toMatchObject({ status: 400, error });
    expect(bench.counts).toMatchObject({ primary: 1, fallback: 0 });
  });

  it("S14: cut after 40 tokens, and the fallback refuses a request that ends in an assistant turn", async () => {
    bench.primary = (answer) => {
      answer.head();
      answer.words(0, 40);
      answer.cut();
    };
    bench.fallback = (answer) =>
      answer.body.messages?.at(-1)?.role === "assistant"
        ? answer.error(400, { message: "the last message must be a user message", code: "invalid" })
        : answer.whole();
    const view = await bench.ask();
    check("S14", view);
    expect(view.error?.code).toBe("engine_cut");
    expect(view.body).not.toContain("the last message must be");
  });

  it.each<[string, Behaviour, passMs: number]>([
    ["S08 and S14: cut after 40 tokens", (answer) => answer.cut(), 0],
    ["S09: silent after 40 tokens", () => {}, 45_000],
  ])("%s, with rescue: who can goes on, who refuses is passed over", async (_what, trouble, passMs) => {
    bench.primary = (answer, count) => {
      answer.head();
      answer.words(0, 40);
      trouble(answer, count);
    };
    // An engine behind the tunnel is of a kind that goes on; this one says no. A cloud is not even asked.
    bench.fallback = (answer) => answer.error(400, { message: "the last message must be a user message" });
    bench.spare = (answer) => (answer.body.continue_final_message === true ? answer.rest() : answer.whole());
    const view = await bench.askFor(passMs, { model: "saved" });
    expect(judge(view), view.body).toBe("pass");
    expect(view).toMatchObject({ hasDone: true, usage: { completion_tokens: 100 } });
    expect(view.body).toContain('"postern":{"rescued":true}');
    expect(bench.counts).toMatchObject({ primary: 1, fallback: primary === "node" ? 0 : 1, spare: 1 });
    expect(await bench.record(view)).toMatchObject({ outcome: "ok", fallback: "rescued", tokensOut: 100 });
  });

  it("S15: 503 for a minute, then fine; a request every 4 s", async () => {
    const startedMs = bench.clock.monotonicMs();
    const elapsedMs = (): number => bench.clock.monotonicMs() - startedMs;
    bench.primary = (answer) => (elapsedMs() < 60_000 ? answer.error(503, BUSY) : answer.whole());
    let backMs: number | null = null;
    while (elapsedMs() < 110_000) {
      const { primary: before } = bench.counts;
      const view = await bench.askFor(2_000);
      check("S15", view);
      const isPrimary =
        view.headers.get("x-postern-served-by") === (primary === "node" ? "node/forge" : "provider/cloud");
      if (isPrimary) backMs ??= elapsedMs();
      // An open breaker costs no attempt; each of its probes two at most.
      expect(bench.counts.primary - before).toBeLessThanOrEqual(2);
      await bench.clock.pass(4_000);
    }
    expect(backMs).toBeGreaterThan(60_000);
    expect(backMs).toBeLessThan(90_000);
  });

  it.each([true, false])("S16: 503 always, the fallback answers (streamed: %s)", async (isStream) => {
    bench.primary = (answer) => answer.error(503, BUSY);
    const view = await bench.askFor(2_000, { isStream });
    check("S16", view);
    expect(view).toMatchObject({ model: primary === "node" ? "far" : "near", usage: { completion_tokens: 60 } });
    const record = await bench.record(view);
    expect(record).toMatchObject({ tokensIn: 12, tokensOut: 60, outcome: "ok" });
    expect(record.attempts.at(-1)).toMatchObject({ errorCode: null });
    expect(record.attempts.slice(0, -1).every(({ errorCode }) => errorCode === "engine_refused")).toBe(true);
  });
});
