import { expect, test } from "vitest";
import { Lockout } from "./lockout.ts";

const MINUTE = 60_000;

test("a user's wait begins with the fifth failure, doubles, and is never longer than a quarter of an hour", () => {
  const lockout = new Lockout();
  const waits: number[] = [];
  for (let at = 0; at < 20; at += 1) {
    lockout.failed("ada", `192.0.2.${at}`, 0);
    waits.push(lockout.waitMs("ada", "203.0.113.1", 0));
  }
  expect(waits.slice(0, 8)).toEqual([0, 0, 0, 0, 1000, 2000, 4000, 8000]);
  expect(waits.at(-1)).toBe(15 * MINUTE);
  expect(lockout.waitMs("ada", "203.0.113.1", 15 * MINUTE)).toBe(0);
  expect(lockout.waitMs("bob", "203.0.113.1", 0)).toBe(0);
});

test("the right password frees the user and not the address, and an hour of quiet frees both", () => {
  const lockout = new Lockout();
  for (let at = 0; at < 25; at += 1) lockout.failed(at % 2 === 0 ? "ada" : null, "2001:db8::1", 0);
  expect(lockout.waitMs("ada", "198.51.100.1", 0)).toBeGreaterThan(0);
  lockout.succeeded("ada");
  expect(lockout.waitMs("ada", "198.51.100.1", 0)).toBe(0);
  // The whole /64 is one address: that is what one household has.
  expect(lockout.waitMs("ada", "2001:db8::2", 0)).toBeGreaterThan(0);
  lockout.failed(null, "2001:db8::3", 60 * MINUTE);
  expect(lockout.waitMs("ada", "2001:db8::2", 60 * MINUTE)).toBe(0);
});

test("what is remembered is bounded, and made-up names are not remembered at all", () => {
  const lockout = new Lockout();
  for (let at = 0; at < 30_000; at += 1) lockout.failed(null, `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`, at);
  expect(lockout.size).toBe(10_000);
});
