import { isIP } from "node:net";
import { AddressSet } from "../lib/cidr.ts";
import { isLoopback } from "./listen-address.ts";

/** From where an address can be reached: this machine alone, private networks, every network that the machine is in, the internet. */
export type Reach = "machine" | "private" | "everywhere" | "internet";

/** RFC 1918, RFC 6598 (tailnets use it), RFC 3927, RFC 4193, RFC 4291 §2.5.6. */
const PRIVATE = AddressSet.of([
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "100.64.0.0/10",
  "169.254.0.0/16",
  "fc00::/7",
  "fe80::/10",
]);

/** Who can connect to a listener on this host. A name may point anywhere, so that it counts as the internet. Pure. */
export function reachOf(host: string): Reach {
  if (isLoopback(host)) return "machine";
  if (host === "0.0.0.0" || host === "::") return "everywhere";
  return isIP(host) !== 0 && PRIVATE.matches(host) ? "private" : "internet";
}
