import { describe, expect, test } from "vitest";
import { ManualClock } from "../lib/clock.ts";
import { Contingency, MAX_SCOPES } from "./contingency.ts";
import {
  type ContingencyChange,
  type ContingencyRules,
  NOTHING_SAVED,
  readContingency,
  writeContingency,
} from "./contingency-state.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const RULES: ContingencyRules = {
  rampMs: 10 * MINUTE,
  automatic: { failures: 5, withinMs: MINUTE, share: 0.5, holdMs: 5 * MINUTE, maxHoldMs: HOUR },
  windows: [],
};

function setUp(rules: Partial<ContingencyRules> = {}, startMs = Date.parse("2026-11-30T12:00Z")) {
  const clock = new ManualClock(startMs);
  const changes: ContingencyChange[] = [];
  const make = () => new Contingency({ ...RULES, ...rules }, (change) => changes.push(change));
  const at = () => ({ nowMs: clock.nowMs(), monotonicMs: clock.monotonicMs() });
  let state = make();
  return {
    clock,
    at,
    get state() {
      return state;
    },
    steps: () =>
      changes.splice(0).map(({ workflow, from, to, cause }) => `${workflow ?? "all"}: ${from} > ${to} (${cause})`),
    order: (forMs: number | null, workflow: string | null = null) =>
      state.on({ workflow, reason: "announced outage", by: "ada", forMs }, at()),
    verdict: (workflow?: string, hasProviders = true) => state.verdict(workflow, hasProviders, at())?.state ?? "normal",
    /** How many of so many requests may use providers. */
    served: (requests: number) =>
      Array.from({ length: requests }, () => state.verdict(undefined, true, at())).filter((one) => one === null).length,
    fail: (times: number, canSwitch = true) => {
      for (let time = 0; time < times; time++) state.outcome(true, at(), () => canSwitch);
    },
    succeed: (times: number) => {
      for (let time = 0; time < times; time++) state.outcome(false, at(), () => true);
    },
    /** What a restart does, with the wall clock moved meanwhile. */
    restart(awayMs: number) {
      const saved = readContingency(writeContingency(state.saved(at())));
      if (saved === null) throw new Error("not readable");
      clock.advance(awayMs);
      state = make();
      state.restore(saved, at());
    },
  };
}

describe("by command, contingency", () => {
  test("skips providers from the order until its time is over, then lets traffic back", () => {
    const { clock, order, verdict, steps, state, at } = setUp();
    expect(verdict()).toBe("normal");
    order(2 * HOUR);
    expect(verdict()).toBe("contingency");
    expect(verdict("audit")).toBe("contingency");
    clock.advance(2 * HOUR - 1);
    expect(verdict()).toBe("contingency");
    clock.advance(1);
    expect(verdict()).toBe("returning");
    clock.advance(10 * MINUTE);
    state.tick(at());
    expect(verdict()).toBe("normal");
    expect(steps()).toEqual([
      "all: normal > contingency (command)",
      "all: contingency > returning (command)",
      "all: returning > normal (command)",
    ]);
    expect(state.view(at())).toEqual([]);
  });

  test("of one workflow leaves the others alone, and that of everything covers it", () => {
    const { order, verdict, state, at } = setUp();
    order(HOUR, "audit");
    expect([verdict("audit"), verdict("chat"), verdict()]).toEqual(["contingency", "normal", "normal"]);
    order(HOUR);
    state.off("audit", true, at());
    expect([verdict("audit"), verdict("chat")]).toEqual(["contingency", "contingency"]);
  });

  test("without a time stays until somebody ends it", () => {
    const { clock, order, verdict, state, at } = setUp();
    order(null);
    clock.advance(400 * 24 * HOUR);
    expect(verdict()).toBe("contingency");
    expect(state.off(null, false, at())).toBe(true);
    expect(verdict()).toBe("returning");
    expect(state.off(null, true, at())).toBe(true);
    expect(verdict()).toBe("normal");
    expect(state.off(null, true, at())).toBe(false);
  });

  test("takes no notice of a wall clock that jumps either way", () => {
    const { clock, order, verdict, state, at } = setUp();
    order(HOUR);
    clock.jump(30 * 24 * HOUR);
    state.tick(at());
    expect(verdict()).toBe("contingency");
    clock.jump(-60 * 24 * HOUR);
    clock.advance(HOUR);
    state.tick(at());
    expect(verdict()).toBe("returning");
  });

  test("tells who, why, since when and until when", () => {
    const { clock, order, state, at } = setUp();
    order(HOUR);
    const atMs = clock.nowMs();
    clock.advance(MINUTE);
    expect(state.view(at())).toEqual([
      {
        workflow: null,
        state: "contingency",
        causes: [{ cause: "command", reason: "announced outage", by: "ada", sinceMs: atMs, expiresAtMs: atMs + HOUR }],
        share: 0,
        normalAtMs: null,
      },
    ]);
  });

  test("is bounded in its scopes", () => {
    const { order, verdict } = setUp();
    for (let scope = 0; scope < MAX_SCOPES; scope++) expect(order(HOUR, `w${scope}`)).toBe(true);
    expect(order(HOUR, "one-more")).toBe(false);
    expect(verdict("one-more")).toBe("normal");
    expect(order(2 * HOUR, "w0")).toBe(true);
  });
});

describe("the return", () => {
  test("lets a growing share of requests use providers, the same ones each time", () => {
    const { clock, order, served, state, at } = setUp();
    order(HOUR);
    clock.advance(HOUR);
    expect(served(100)).toBe(5);
    clock.advance(5 * MINUTE);
    expect(served(100)).toBe(50);
    expect(state.view(at())[0]).toMatchObject({ state: "returning", share: 0.5 });
    clock.advance(4 * MINUTE);
    expect(served(100)).toBe(90);
    clock.advance(MINUTE);
    expect(served(100)).toBe(100);
  });

  test("does not count requests to which providers make no difference", () => {
    const { clock, order, verdict, served } = setUp();
    order(HOUR);
    clock.advance(HOUR);
    for (let request = 0; request < 100; request++) expect(verdict(undefined, false)).toBe("normal");
    expect(served(20)).toBe(1);
  });

  test("is left out where the ramp is nothing", () => {
    const { clock, order, verdict, steps } = setUp({ rampMs: 0 });
    order(HOUR);
    clock.advance(HOUR);
    expect(verdict()).toBe("normal");
    expect(steps()).toEqual(["all: normal > contingency (command)", "all: contingency > normal (command)"]);
  });
});

describe("by itself, contingency", () => {
  test("comes with so many failures that are so large a part", () => {
    const { fail, verdict, state, at } = setUp();
    fail(4);
    expect(verdict()).toBe("normal");
    fail(1);
    expect(verdict()).toBe("contingency");
    expect(state.view(at())[0]?.causes[0]).toMatchObject({
      cause: "automatic",
      by: "gateway",
      reason: "5 of 5 attempts at providers failed within 60 s",
    });
  });

  test("does not come where most attempts succeed, failures are spread out, or no machine could serve", () => {
    const mostly = setUp();
    mostly.succeed(20);
    mostly.fail(10);
    expect(mostly.verdict()).toBe("normal");

    const spread = setUp();
    for (let time = 0; time < 20; time++) {
      spread.fail(1);
      spread.clock.advance(20_000);
    }
    expect(spread.verdict()).toBe("normal");

    const alone = setUp();
    alone.fail(50, false);
    expect(alone.verdict()).toBe("normal");
  });

  test("never comes without a rule", () => {
    const { fail, verdict } = setUp({ automatic: null });
    fail(100);
    expect(verdict()).toBe("normal");
  });

  test("holds, returns, and comes back sooner and for longer while providers still fail", () => {
    const { clock, fail, verdict, state, at, steps } = setUp();
    const heldMs = () => (state.view(at())[0]?.causes[0]?.expiresAtMs ?? 0) - clock.nowMs();
    fail(5);
    expect(heldMs()).toBe(5 * MINUTE);
    clock.advance(5 * MINUTE);
    expect(verdict()).toBe("returning");
    fail(1);
    expect(verdict()).toBe("returning");
    fail(1);
    expect(verdict()).toBe("contingency");
    expect(heldMs()).toBe(10 * MINUTE);
    for (let relapse = 0; relapse < 6; relapse++) {
      clock.advance(heldMs());
      state.tick(at());
      fail(2);
    }
    expect(heldMs()).toBe(HOUR);
    clock.advance(HOUR);
    state.tick(at());
    clock.advance(10 * MINUTE);
    state.tick(at());
    expect(verdict()).toBe("normal");
    fail(4);
    expect(verdict()).toBe("normal");
    fail(1);
    expect(heldMs()).toBe(5 * MINUTE);
    expect(steps().at(-1)).toBe("all: normal > contingency (automatic)");
  });

  test("does not shorten what an operator ordered", () => {
    const { clock, order, fail, verdict, state, at } = setUp();
    order(HOUR);
    fail(5);
    expect(state.view(at())[0]?.causes.map(({ cause }) => cause)).toEqual(["automatic", "command"]);
    clock.advance(5 * MINUTE);
    expect(verdict()).toBe("contingency");
    clock.advance(55 * MINUTE);
    expect(verdict()).toBe("returning");
  });
});

describe("by schedule, contingency", () => {
  const windows = [{ workflow: null, reason: "maintenance", begins: "0 13 * * 1", lengthMs: HOUR }];

  test("follows the wall clock, there and back", () => {
    const { clock, verdict, state, at, steps } = setUp({ windows });
    state.tick(at());
    expect(verdict()).toBe("normal");
    clock.advance(HOUR);
    state.tick(at());
    expect(verdict()).toBe("contingency");
    clock.advance(HOUR);
    expect(verdict()).toBe("returning");
    clock.jump(-30 * MINUTE);
    state.tick(at());
    expect(verdict()).toBe("contingency");
    clock.jump(12 * HOUR);
    state.tick(at());
    expect(verdict()).toBe("returning");
    expect(steps()).toHaveLength(4);
  });

  test("is on after a start in the middle of a window, without an entry of its own in what is saved", () => {
    const { verdict, state, at, restart, clock } = setUp({ windows }, Date.parse("2026-11-30T13:30Z"));
    state.tick(at());
    expect(verdict()).toBe("contingency");
    expect(state.saved(at())).toEqual(NOTHING_SAVED);
    restart(MINUTE);
    expect(clock.nowMs()).toBe(Date.parse("2026-11-30T13:31Z"));
  });

  test("stays ended until its next time when somebody ends it, over a restart too", () => {
    const one = setUp({ windows }, Date.parse("2026-11-30T13:10Z"));
    one.state.tick(one.at());
    one.state.off(null, true, one.at());
    one.state.tick(one.at());
    expect(one.verdict()).toBe("normal");
    one.restart(MINUTE);
    one.state.tick(one.at());
    expect(one.verdict()).toBe("normal");
    one.clock.advance(7 * 24 * HOUR);
    one.state.tick(one.at());
    expect(one.verdict()).toBe("contingency");
  });

  test("a workflow has windows of its own", () => {
    const { verdict, state, at } = setUp(
      { windows: [{ workflow: "batch", reason: "nights at home", begins: "0 12 * * *", lengthMs: HOUR }] },
      Date.parse("2026-11-30T12:30Z"),
    );
    state.tick(at());
    expect([verdict("batch"), verdict("chat")]).toEqual(["contingency", "normal"]);
  });
});

describe("over a restart, contingency", () => {
  test("goes on for what was left", () => {
    const one = setUp();
    one.order(HOUR, "audit");
    one.clock.advance(20 * MINUTE);
    one.restart(10 * MINUTE);
    expect(one.verdict("audit")).toBe("contingency");
    one.clock.advance(30 * MINUTE);
    expect(one.verdict("audit")).toBe("returning");
  });

  test("that ended meanwhile has its ramp behind it as far as that has come", () => {
    const one = setUp();
    one.order(HOUR);
    one.restart(HOUR + 5 * MINUTE);
    expect(one.state.view(one.at())[0]).toMatchObject({ state: "returning", share: 0.5 });
    one.restart(5 * MINUTE);
    expect(one.verdict()).toBe("normal");
  });

  test("lasts no longer than ordered when the wall clock went back", () => {
    const one = setUp();
    one.order(HOUR);
    one.clock.jump(-24 * HOUR);
    const saved = { ...one.state.saved(one.at()) };
    one.clock.jump(-24 * HOUR);
    one.state.restore(saved, one.at());
    one.clock.advance(HOUR);
    expect(one.verdict()).toBe("returning");
  });

  test("without a time stays, and the automatic rule remembers its relapses", () => {
    const one = setUp();
    one.order(null, "audit");
    one.fail(5);
    one.clock.advance(5 * MINUTE);
    one.state.tick(one.at());
    one.fail(2);
    one.restart(10 * MINUTE);
    expect(one.verdict("audit")).toBe("contingency");
    one.state.tick(one.at());
    one.fail(2);
    const all = one.state.view(one.at()).find(({ workflow }) => workflow === null);
    expect((all?.causes[0]?.expiresAtMs ?? 0) - one.clock.nowMs()).toBe(20 * MINUTE);
  });

  test("that is not readable is told apart from none", () => {
    expect(readContingency(null)).toEqual(NOTHING_SAVED);
    expect(readContingency(new TextEncoder().encode("{"))).toBeNull();
    expect(readContingency(new TextEncoder().encode('{"version":2}'))).toBeNull();
  });
});
