import { expect, test } from "vitest";
import { Concurrency } from "./concurrency.ts";

test("Concurrency gives out as many places per key as allowed and takes each back once", () => {
  const places = new Concurrency();
  const first = places.acquire("a", 2);
  const second = places.acquire("a", 2);
  expect([first, second].includes(null)).toBe(false);
  expect(places.acquire("a", 2)).toBeNull();
  expect(places.acquire("b", 2)).not.toBeNull();
  expect([places.inFlight("a"), places.inFlight("b"), places.total]).toEqual([2, 1, 3]);
  first?.release();
  first?.release();
  expect(places.inFlight("a")).toBe(1);
  expect(places.acquire("a", 2)).not.toBeNull();
  expect(places.acquire("a", 2)).toBeNull();
  expect(places.acquire("none", 0)).toBeNull();
});
