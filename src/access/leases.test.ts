import { expect, test } from "vitest";
import { LEASE_TTL_MS, Leases } from "./leases.ts";

test("Leases gives out as many places as there are, and each one back once", () => {
  const leases = new Leases();
  const first = leases.acquire(2, 0);
  leases.acquire(2, 0);
  expect(leases.acquire(2, 0)).toBeNull();
  if (first !== null) leases.release(first);
  if (first !== null) leases.release(first);
  expect(leases.size).toBe(1);
  expect(leases.acquire(2, 0)).not.toBeNull();
  expect(leases.acquire(0, 0)).toBeNull();
});

test("a lease that nobody renews is lost after its time; one that is renewed never is", () => {
  const leases = new Leases();
  const lost = leases.acquire(2, 0);
  const live = leases.acquire(2, 0);
  if (lost === null || live === null) throw new Error("no lease");
  leases.renew(live, LEASE_TTL_MS - 1);
  expect(leases.acquire(2, LEASE_TTL_MS - 1)).toBeNull();
  const next = leases.acquire(2, LEASE_TTL_MS);
  expect(next).not.toBeNull();
  leases.release(lost);
  expect(leases.size).toBe(2);
  expect(leases.acquire(2, LEASE_TTL_MS)).toBeNull();
});

test("a lease that was lost while its holder ran is held again when the holder says so", () => {
  const leases = new Leases();
  const slept = leases.acquire(1, 0);
  leases.acquire(1, LEASE_TTL_MS);
  if (slept !== null) leases.renew(slept, LEASE_TTL_MS);
  expect(leases.size).toBe(2);
  expect(leases.acquire(2, LEASE_TTL_MS)).toBeNull();
});
