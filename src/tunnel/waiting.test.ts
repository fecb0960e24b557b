import { describe, expect, test } from "vitest";
import { ManualClock } from "../lib/clock.ts";
import { Backoff } from "./backoff.ts";
import { CarrierChoice } from "./carrier-choice.ts";
import { BACKOFF_CAP_MS, DIRECT_RETRY_MS } from "./constants.ts";
import { Nonces } from "./nonces.ts";
import { Rate, RatePerName } from "./rate.ts";

describe("Backoff", () => {
  test("starts with two fast retries, then full jitter that doubles to the cap", () => {
    const longest = new Backoff(() => 1);
    expect(Array.from({ length: 10 }, () => longest.next())).toEqual([
      300, 300, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000,
    ]);
    const shortest = new Backoff(() => 0);
    expect(Array.from({ length: 4 }, () => shortest.next())).toEqual([100, 100, 0, 0]);
  });

  test("waits at least what the gateway asked for, spread upwards", () => {
    expect(new Backoff(() => 0).next(4000)).toBe(4000);
    expect(new Backoff(() => 1).next(4000)).toBe(6000);
  });

  test("forgets failures only after a link that lived long", () => {
    const backoff = new Backoff(() => 1);
    for (let n = 0; n < 5; n++) backoff.next();
    backoff.onLinkEnd(BACKOFF_CAP_MS - 1);
    expect(backoff.next()).toBe(8000);
    backoff.onLinkEnd(BACKOFF_CAP_MS);
    expect(backoff.next()).toBe(300);
  });
});

describe("CarrierChoice", () => {
  test("falls back at once when the upgrade is blocked, and returns to direct after an hour", () => {
    const choice = new CarrierChoice();
    choice.onFailure("direct", true, 1000);
    expect(choice.choose(false, 1001)).toBe("websocket");
    expect(choice.choose(false, 1000 + DIRECT_RETRY_MS)).toBe("direct");
  });

  test("falls back after three failures in a row and back again after three of the other", () => {
    const choice = new CarrierChoice();
    choice.onFailure("direct", false, 0);
    choice.onFailure("direct", false, 0);
    choice.onSuccess("direct");
    choice.onFailure("direct", false, 0);
    choice.onFailure("direct", false, 0);
    expect(choice.choose(false, 0)).toBe("direct");
    choice.onFailure("direct", false, 0);
    expect(choice.choose(false, 0)).toBe("websocket");
    for (let n = 0; n < 3; n++) choice.onFailure("websocket", false, 0);
    expect(choice.choose(false, 0)).toBe("direct");
  });

  test("never falls back while a sibling is connected directly", () => {
    const choice = new CarrierChoice();
    choice.onFailure("direct", true, 0);
    expect(choice.choose(true, 0)).toBe("direct");
  });
});

describe("Rate", () => {
  test("gives its burst, then its rate", () => {
    const clock = new ManualClock();
    const rate = new Rate(clock, 3, 2);
    expect([rate.take(), rate.take(), rate.take(), rate.take()]).toEqual([true, true, true, false]);
    clock.advance(500);
    expect([rate.take(), rate.take()]).toEqual([true, false]);
    clock.advance(3_600_000);
    expect([rate.take(), rate.take(), rate.take(), rate.take()]).toEqual([true, true, true, false]);
  });

  test("per name holds no more names than its limit", () => {
    const rates = new RatePerName(new ManualClock(), 1, 1, 100);
    for (let n = 0; n < 1000; n++) expect(rates.take(`10.0.${n >> 8}.${n & 255}`)).toBe(true);
    expect(rates.size).toBe(100);
    expect(rates.take("10.0.3.231")).toBe(false);
  });
});

describe("Nonces", () => {
  test("gives a value once, within its life, and no more of them than its limit", () => {
    const clock = new ManualClock();
    const nonces = new Nonces<number>(clock, 2, 10_000);
    expect([nonces.put("a", 1), nonces.put("b", 2), nonces.put("c", 3)]).toEqual([true, true, false]);
    expect([nonces.take("a"), nonces.take("a")]).toEqual([1, undefined]);
    expect(nonces.put("c", 3)).toBe(true);
    clock.advance(10_000);
    expect([nonces.take("b"), nonces.take("c"), nonces.size]).toEqual([undefined, undefined, 0]);
  });
});
