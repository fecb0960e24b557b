import { describe, expect, test } from "vitest";
import { addressGroup, FailureLimiter } from "./failure-limiter.ts";

describe("FailureLimiter", () => {
  test("lets an address fail a few times in a window, then says how long to wait", () => {
    const limiter = new FailureLimiter({ maxFailures: 3, windowMs: 60_000 });
    expect([1, 2, 3].map((at) => limiter.recordFailure("192.0.2.1", at))).toEqual([null, null, null]);
    expect(limiter.recordFailure("192.0.2.1", 10_000)).toBe(51);
    expect(limiter.recordFailure("192.0.2.2", 10_000)).toBeNull();
    expect(limiter.recordFailure("192.0.2.1", 60_000.5)).toBe(1);
    expect(limiter.recordFailure("192.0.2.1", 60_001)).toBeNull();
  });

  test("remembers a bounded number of addresses and forgets the quietest", () => {
    const limiter = new FailureLimiter({ maxFailures: 1, maxAddresses: 100 });
    limiter.recordFailure("192.0.2.1", 0);
    for (let at = 0; at < 5000; at++) {
      limiter.recordFailure(`10.0.${at >> 8}.${at & 255}`, 0);
      if (at % 50 === 0) expect(limiter.recordFailure("192.0.2.1", 0)).not.toBeNull();
    }
    expect(limiter.size).toBe(100);
  });
});

test.each([
  ["192.0.2.1", "192.0.2.1"],
  ["::ffff:192.0.2.1", "192.0.2.1"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:DB8:1:2::", "2001:db8:1:2::/64"],
  ["2001:db8::1", "2001:db8:0:0::/64"],
  ["2001:0db8:0000:0000::2", "2001:db8:0:0::/64"],
  ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ["::1", "0:0:0:0::/64"],
  ["::", "0:0:0:0::/64"],
  ["", ""],
])("addressGroup(%s) is %s", (address, expected) => {
  expect(addressGroup(address)).toBe(expected);
});
