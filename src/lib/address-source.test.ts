import { expect, it } from "vitest";
import { isLoopbackAddress, sourceOf } from "./address-source.ts";

it("sourceOf() takes a /64 of IPv6 for one source, and each IPv4 address, mapped or not, for one", () => {
  expect(sourceOf("2001:db8:1:2::1")).toBe(sourceOf("2001:db8:1:2:ffff:ffff:ffff:ffff"));
  expect(sourceOf("2001:db8:1:2::1")).not.toBe(sourceOf("2001:db8:1:3::1"));
  expect(sourceOf("::ffff:192.0.2.1")).toBe(sourceOf("192.0.2.1"));
  expect(sourceOf("192.0.2.1")).not.toBe(sourceOf("192.0.2.2"));
  expect(sourceOf("fe80::1%eth0")).toBe(sourceOf("fe80::2%eth1"));
  expect(sourceOf("nonsense")).toBe("nonsense");
});

it("isLoopbackAddress() knows all of loopback and nothing else", () => {
  expect(["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"].every(isLoopbackAddress)).toBe(true);
  expect(["128.0.0.1", "::2", "::", "0.0.0.0", "localhost", "", "1::1"].some(isLoopbackAddress)).toBe(false);
});
