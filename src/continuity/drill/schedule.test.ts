import { describe, expect, it } from "vitest";
import { nextDrill, overdueSince } from "./schedule.ts";
import { findQuietWindows, isInWindow } from "./window.ts";

const at = (text: string) => Date.parse(`${text}Z`);
const next = (schedule: string | null, after: string, window: Parameters<typeof nextDrill>[0]["window"] = null) => {
  const atMs = nextDrill({ schedule, window }, at(after));
  return atMs === null ? null : new Date(atMs).toISOString().slice(0, 16);
};

describe("nextDrill()", () => {
  it("knows months and quarters, in UTC, from the opening of the window", () => {
    expect(next("monthly", "2026-11-30T12:00")).toBe("2026-12-01T04:00");
    expect(next("monthly", "2026-12-01T04:00")).toBe("2027-01-01T04:00");
    expect(next("quarterly", "2026-11-30T12:00")).toBe("2027-01-01T04:00");
    expect(next("monthly", "2026-11-30T12:00", { from: 90, to: 240, days: null })).toBe("2026-12-01T01:30");
  });

  it("takes the first day that the window allows", () => {
    const sundays = { from: 300, to: 420, days: [0] };
    expect(next("monthly", "2026-11-30T12:00", sundays)).toBe("2026-12-06T05:00");
    expect(next("monthly", "2026-12-06T05:00", sundays)).toBe("2027-01-03T05:00");
  });

  it("takes a cron line, and knows plans that run by hand", () => {
    expect(next("30 5 * * 6", "2026-11-30T12:00")).toBe("2026-12-05T05:30");
    expect(next(null, "2026-11-30T12:00")).toBeNull();
  });
});

describe("overdueSince()", () => {
  const plan = { schedule: "monthly", window: null };
  it("tells a plan that should have run more than a day ago", () => {
    const last = at("2026-11-01T04:20");
    expect(overdueSince(plan, last, at("2026-12-02T03:59"))).toBeNull();
    expect(overdueSince(plan, last, at("2026-12-02T04:00"))).toBe(at("2026-12-01T04:00"));
    expect(overdueSince({ schedule: null, window: null }, last, at("2030-01-01T00:00"))).toBeNull();
  });
});

describe("isInWindow()", () => {
  it("knows days, and windows over midnight by the day on which they begin", () => {
    const night = { from: 23 * 60, to: 2 * 60, days: [6] };
    expect(isInWindow(night, at("2026-12-05T23:30"))).toBe(true);
    expect(isInWindow(night, at("2026-12-06T01:59"))).toBe(true);
    expect(isInWindow(night, at("2026-12-06T02:00"))).toBe(false);
    expect(isInWindow(night, at("2026-12-05T01:00"))).toBe(false);
    expect(isInWindow({ from: 60, to: 120, days: null }, at("2026-12-05T01:00"))).toBe(true);
  });
});

describe("findQuietWindows()", () => {
  it("finds the quietest hours of the week, apart from each other", () => {
    const perHour = Array.from({ length: 168 }, () => 100);
    for (const hour of [3 * 24 + 4, 3 * 24 + 5, 5, 6]) perHour[hour] = hour > 24 ? 0 : 1;
    expect(findQuietWindows(perHour, 2, 2)).toEqual([
      { day: 3, fromHour: 4, hours: 2, requests: 0 },
      { day: 0, fromHour: 5, hours: 2, requests: 2 },
    ]);
  });
});
