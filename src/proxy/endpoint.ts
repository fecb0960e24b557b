import { PosternError } from "../errors.ts";

/** A named public hostname with its rules. One called `default` exists from the start; more come with address rules. */
export interface Endpoint {
  id: string;
}

const DEFAULT_ENDPOINT: Endpoint = { id: "default" };
const LOOPBACK_HOSTS: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"]);

/**
 * Step 2: which endpoint a request is for. A host that is not ours is refused, so that a page in somebody's browser cannot
 * reach a gateway on loopback or in a private network under a name of its own (DNS rebinding).
 *
 * Ours are the loopback names, the host of the public URL, and the address that the connection came in on.
 *
 * @param host Lower case, without port.
 * @param publicHost Host of `gateway.publicUrl`, or null.
 * @param localAddress Address of our end of the connection.
 * @throws PosternError `bad_host`.
 */
export function findEndpoint(host: string, publicHost: string | null, localAddress: string | undefined): Endpoint {
  if (host === publicHost || LOOPBACK_HOSTS.has(host) || isAddress(host, localAddress)) return DEFAULT_ENDPOINT;
  throw new PosternError("bad_host", { hint: "Set gateway.publicUrl to the address that callers use." });
}

function isAddress(host: string, address: string | undefined): boolean {
  if (address === undefined) return false;
  const plain = address.startsWith("::ffff:") ? address.slice(7) : address;
  return host === (plain.includes(":") ? `[${plain}]` : plain);
}
