import { describe, expect, test } from "vitest";
import type { Alert } from "./alert-book.ts";
import { Grouping, type Notification, partFor } from "./grouping.ts";
import type { RuleName } from "./rules.ts";

const START_MS = 1_700_000_000_000;
const TIMES = { groupWaitMs: 10_000, groupIntervalMs: 60_000, repeatMs: 3_600_000 };

function alertOf(id: string, fields: Partial<Alert> = {}): Alert {
  return {
    id,
    rule: "node-away",
    key: id,
    severity: "warning",
    summary: `Node ${id} is away`,
    labels: {},
    startedAtMs: START_MS,
    firedAtMs: START_MS,
    resolvedAtMs: null,
    toldAtMs: null,
    ack: null,
    ...fields,
  };
}

function setUp() {
  let made = 0;
  let elapsedMs = 0;
  const grouping = new Grouping(TIMES, () => `message-${++made}`);
  const quiet = new Set<string>();
  const now = () => ({ nowMs: START_MS + elapsedMs, monotonicMs: elapsedMs });
  return {
    grouping,
    quiet,
    now,
    due(afterMs: number, ...firing: Alert[]) {
      elapsedMs += afterMs;
      return grouping.due(firing, (alert) => quiet.has(alert.id), now());
    },
    resolve(...alerts: Alert[]) {
      for (const alert of alerts) alert.resolvedAtMs = now().nowMs;
      grouping.resolved(alerts);
    },
  };
}

const ids = (notification: Notification | undefined) => notification?.alerts.map(({ id }) => id);

describe("Grouping", () => {
  test("waits a moment, and tells many nodes in one message", () => {
    const { due } = setUp();
    const [a, b, c] = [alertOf("a"), alertOf("b"), alertOf("c")];
    expect(due(0, a)).toEqual([]);
    expect(due(5_000, a, b)).toEqual([]);
    const [message, ...others] = due(5_000, a, b, c);
    expect(others).toEqual([]);
    expect(message).toMatchObject({ id: "message-1", kind: "change", rule: "node-away", status: "firing" });
    expect(ids(message)).toEqual(["a", "b", "c"]);
    expect(due(5_000, a, b, c)).toEqual([]);
  });

  test("tells changes not more often than the interval, and the resolution of what was told", () => {
    const { due, resolve } = setUp();
    const [a, b] = [alertOf("a"), alertOf("b")];
    due(0, a);
    expect(due(10_000, a)).toHaveLength(1);
    resolve(a);
    expect(due(20_000, b)).toEqual([]);
    const [message] = due(40_000, b);
    expect(message).toMatchObject({ status: "firing" });
    expect(ids(message)).toEqual(["b", "a"]);
    resolve(b);
    expect(due(10_000)).toEqual([]);
    expect(due(50_000)).toMatchObject([{ status: "resolved", alerts: [{ id: "b" }] }]);
    expect(due(3_600_000)).toEqual([]);
  });

  test("says nothing of what came and went before anybody was told", () => {
    const { due, resolve } = setUp();
    const a = alertOf("a");
    due(0, a);
    resolve(a);
    expect([...due(5_000), ...due(60_000)]).toEqual([]);
  });

  test("repeats what still fires, until somebody acknowledges it", () => {
    const { due, resolve } = setUp();
    const a = alertOf("a");
    due(0, a);
    due(10_000, a);
    expect(due(3_599_000, a)).toEqual([]);
    expect(due(1_000, a)).toMatchObject([{ kind: "repeat", status: "firing" }]);
    a.ack = { atMs: START_MS, by: "user ada", note: null };
    expect(due(7_200_000, a)).toEqual([]);
    resolve(a);
    due(0);
    expect(due(10_000)).toMatchObject([{ kind: "change", status: "resolved" }]);
  });

  test("says nothing of what is silenced, and says it when the silence ends", () => {
    const { due, quiet } = setUp();
    const a = alertOf("a");
    quiet.add("a");
    expect([...due(0, a), ...due(3_600_000, a)]).toEqual([]);
    quiet.clear();
    due(5_000, a);
    expect(due(10_000, a)).toMatchObject([{ kind: "change", alerts: [{ id: "a" }] }]);
  });

  test("says one thing when all nodes are away, and of the others when only some still are", () => {
    const { due, resolve } = setUp();
    const all = alertOf("all", { rule: "all-nodes-away", key: "", severity: "critical" });
    const [a, b] = [alertOf("a"), alertOf("b")];
    due(0, all, a, b);
    expect(due(10_000, all, a, b).map(({ rule }) => rule)).toEqual(["all-nodes-away"]);
    resolve(all);
    due(60_000, a);
    // Of the node that is still away, and that not all are any more.
    expect(due(10_000, a).map(({ rule, status }) => `${rule} ${status}`)).toEqual([
      "node-away firing",
      "all-nodes-away resolved",
    ]);
  });

  test("goes on after a restart: what was told is repeated in its time, what was not is told", () => {
    const { grouping, due, now } = setUp();
    const told = alertOf("a", { toldAtMs: START_MS - 3_000_000 });
    const untold = alertOf("b", { rule: "store", key: "" });
    grouping.restore([told, untold], now());
    expect(due(0, told, untold)).toEqual([]);
    expect(due(10_000, told, untold).map(({ rule }) => rule)).toEqual(["store"]);
    expect(due(590_000, told, untold)).toMatchObject([{ kind: "repeat", rule: "node-away" }]);
  });
});

describe("partFor()", () => {
  const notification: Notification = {
    id: "message-1",
    kind: "change",
    rule: "node-away",
    status: "firing",
    atMs: START_MS,
    alerts: [alertOf("a", { severity: "critical", resolvedAtMs: START_MS }), alertOf("b", { severity: "info" })],
  };
  const rules = (...names: RuleName[]) => names;

  test("leaves out what is less urgent than the channel wants, and its status with it", () => {
    const part = partFor(notification, { severity: "warning", rules: null });
    expect([ids(part ?? undefined), part?.status]).toEqual([["a"], "resolved"]);
  });

  test("is nothing where no alert is left", () => {
    expect(partFor(notification, { severity: "info", rules: rules("store") })).toBeNull();
    expect(partFor(notification, { severity: "info", rules: rules("node-away") })?.alerts).toHaveLength(2);
  });
});
