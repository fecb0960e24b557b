import { join } from "node:path";
import type { Peer } from "../peer.ts";
import { startOnPort } from "../programs.ts";

/** `bench/relay.ts`, plain or TLS towards the caller. */
export function relay(isTls: boolean): Peer {
  return {
    name: isTls ? "relay-tls" : "relay",
    describe: `bare relay in Node (bench/relay.ts), ${isTls ? "TLS" : "plain"} to the caller`,
    isTls,
    hasMemory: !isTls,
    async start({ enginePort, certificate }) {
      const { child, port } = await startOnPort("relay", process.execPath, [join(import.meta.dirname, "../relay.ts")], {
        ENGINE_URL: `http://127.0.0.1:${enginePort}`,
        ...(isTls && { TLS_CERT: certificate.cert, TLS_KEY: certificate.key }),
      });
      return {
        port,
        isTls,
        headers: [],
        processes: [{ role: "gateway", pid: child.pid }],
        version: `Node ${process.version}`,
        stop: () => child.stop(),
      };
    },
  };
}
