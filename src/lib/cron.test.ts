import { describe, expect, test } from "vitest";
import { type CronTimes, lastCronTime, nextCronTime, parseCron } from "./cron.ts";

function cron(text: string): CronTimes {
  const times = parseCron(text);
  if (times === null) throw new Error(`no cron line: ${text}`);
  return times;
}

function next(text: string, after: string): string | null {
  const atMs = nextCronTime(cron(text), Date.parse(after));
  return atMs === null ? null : new Date(atMs).toISOString().slice(0, 16);
}

describe("parseCron()", () => {
  test.each([
    "",
    "* * * *",
    "* * * * * *",
    "60 * * * *",
    "* 24 * * *",
    "* * 0 * *",
    "* * * 13 *",
    "* * * * 8",
    "5-1 * * * *",
    "*/0 * * * *",
    "a * * * *",
    "1,,2 * * * *",
    "@daily",
    "-1 * * * *",
  ])("refuses %j", (text) => {
    expect(parseCron(text)).toBeNull();
  });

  test("refuses a day that never comes", () => {
    expect(parseCron("0 0 31 2 *")).toBeNull();
    expect(parseCron("0 0 29 2 *")).not.toBeNull();
  });
});

describe("nextCronTime()", () => {
  test.each([
    ["0 2 * * 6", "2026-11-30T12:00Z", "2026-12-05T02:00"],
    ["0 2 * * 6", "2026-12-05T02:00Z", "2026-12-12T02:00"],
    ["*/15 * * * *", "2026-11-30T12:14:59Z", "2026-11-30T12:15"],
    ["5/20 9 * * *", "2026-11-30T09:25Z", "2026-11-30T09:45"],
    ["0 0 1 1,4,7,10 *", "2026-11-30T12:00Z", "2027-01-01T00:00"],
    ["0 0 29 2 *", "2026-11-30T12:00Z", "2028-02-29T00:00"],
    ["30 23 * * 0", "2026-11-30T12:00Z", "2026-12-06T23:30"],
    ["30 23 * * 7", "2026-11-30T12:00Z", "2026-12-06T23:30"],
    ["0 8 13 * 5", "2026-11-30T12:00Z", "2026-12-04T08:00"],
  ])("%s after %s is %s", (text, after, expected) => {
    expect(next(text, after)).toBe(expected);
  });
});

test("lastCronTime() finds the last time within the span, and none before it", () => {
  const at = (text: string) => Date.parse(text);
  const weekly = cron("0 2 * * 6");
  expect(lastCronTime(weekly, at("2026-12-05T03:00Z"), at("2026-12-05T01:00Z"))).toBe(at("2026-12-05T02:00Z"));
  expect(lastCronTime(weekly, at("2026-12-05T02:00Z"), at("2026-12-05T02:00Z"))).toBe(at("2026-12-05T02:00Z"));
  expect(lastCronTime(weekly, at("2026-12-05T03:00Z"), at("2026-12-05T02:30Z"))).toBeNull();
  expect(lastCronTime(weekly, at("2026-12-09T03:00Z"), at("2026-12-04T00:00Z"))).toBe(at("2026-12-05T02:00Z"));
});
