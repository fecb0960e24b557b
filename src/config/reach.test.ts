import { expect, test } from "vitest";
import { reachOf } from "./reach.ts";

test("reachOf() tells this machine, private networks, everything and the internet apart", () => {
  const of = (...hosts: string[]) => [...new Set(hosts.map(reachOf))];
  expect(of("127.0.0.1", "::1", "localhost", "127.8.8.8")).toEqual(["machine"]);
  expect(of("10.1.2.3", "172.31.0.1", "192.168.1.1", "100.101.102.103", "fd00::1", "fe80::1")).toEqual(["private"]);
  expect(of("0.0.0.0", "::")).toEqual(["everywhere"]);
  expect(of("192.0.2.1", "172.32.0.1", "2001:db8::1", "ai.example.org", "100.128.0.1")).toEqual(["internet"]);
});
