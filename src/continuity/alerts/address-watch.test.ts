import { describe, expect, test } from "vitest";
import { AddressWatch } from "./address-watch.ts";

describe("AddressWatch", () => {
  test("finds that an agent comes from another address, once, and a second change as another", () => {
    const watch = new AddressWatch();
    watch.seen("c1", "forge", "203.0.113.7");
    watch.seen("c1", "forge", "203.0.113.7");
    expect(watch.take()).toEqual([]);
    watch.seen("c1", "forge", "198.51.100.9");
    expect(watch.take()).toMatchObject([
      {
        rule: "address-changed",
        key: "forge 198.51.100.9",
        summary: "Node forge connects from 198.51.100.9, and did from 203.0.113.7 before",
        labels: { node: "forge", from: "203.0.113.7", to: "198.51.100.9" },
      },
    ]);
    expect(watch.take()).toEqual([]);
  });

  test("takes IPv4 and IPv6 of one machine for two, and only the network of IPv6", () => {
    const watch = new AddressWatch();
    watch.seen("c1", "forge", "203.0.113.7");
    watch.seen("c1", "forge", "2001:db8:1:2:aaaa::1");
    watch.seen("c1", "forge", "::ffff:203.0.113.7");
    watch.seen("c1", "forge", "2001:db8:1:2:bbbb::2");
    expect(watch.take()).toEqual([]);
    watch.seen("c1", "forge", "2001:db8:1:3::1");
    expect(watch.take()).toMatchObject([{ labels: { from: "2001:db8:1:2::/64", to: "2001:db8:1:3::/64" } }]);
  });

  test("goes on after a restart with what was saved", () => {
    const before = new AddressWatch();
    before.seen("c1", "forge", "203.0.113.7");
    const saved = before.takeUnsaved() ?? {};
    expect(before.takeUnsaved()).toBeNull();
    const watch = new AddressWatch(saved);
    watch.seen("c1", "forge", "198.51.100.9");
    expect(watch.take()).toHaveLength(1);
  });

  test("remembers a bounded number of agents and changes", () => {
    const watch = new AddressWatch();
    for (let index = 0; index < 20_000; index++) watch.seen(`c${index}`, "pods", "203.0.113.7");
    expect(Object.keys(watch.takeUnsaved() ?? {})).toHaveLength(5_000);
    for (let index = 15_000; index < 20_000; index++) watch.seen(`c${index}`, "pods", "198.51.100.9");
    expect(watch.take()).toHaveLength(500);
  });
});
