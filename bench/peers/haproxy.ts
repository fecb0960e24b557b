import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { freePort, run, start } from "../children.ts";
import type { Ground, Peer } from "../peer.ts";

const READY_MS = 5_000;

/**
 * HAProxy as S1 of docs/requirements.md uses it (allowlist of method and path, nothing else passes) with a key check added, on one
 * thread as every other peer has one event loop, and with `option http-no-delay`: without it small chunks are held back for
 * 100 to 200 ms. No access log: its log is off, Postern's is on.
 */
export function haproxy(isTls: boolean): Peer {
  return {
    name: isTls ? "haproxy-tls" : "haproxy",
    describe: `HAProxy, one thread, method and path allowlist, key check, http-no-delay, no log, ${isTls ? "TLS" : "plain"} to the caller`,
    isTls,
    hasMemory: !isTls,
    async start(ground) {
      const version = /version (\S+)/.exec(await run("haproxy -v", "haproxy", ["-v"]))?.[1] ?? "?";
      const key = `pst_${randomBytes(24).toString("hex")}`;
      const port = await freePort();
      const child = start("haproxy", "haproxy", ["-db", "-f", writeConfig(ground, port, isTls, key)]);
      await untilListening(port, () => child.errors());
      return {
        port,
        isTls,
        headers: [`Authorization: Bearer ${key}`],
        processes: [{ role: "gateway", pid: child.pid }],
        version,
        stop: () => child.stop(),
      };
    },
  };
}

function writeConfig(ground: Ground, port: number, isTls: boolean, key: string): string {
  const folder = join(ground.folder, `haproxy-${port}`);
  mkdirSync(folder, { recursive: true });
  const keys = join(folder, "keys.map");
  const allowed = join(folder, "allowed.map");
  const file = join(folder, "haproxy.cfg");
  // A thousand keys, of which the callers use one.
  const others = Array.from({ length: 999 }, () => `Bearer\\ pst_${randomBytes(24).toString("hex")} other`);
  writeFileSync(keys, [...others, `Bearer\\ ${key} bench`].join("\n").replaceAll("\\ ", "_"), { mode: 0o600 });
  writeFileSync(
    allowed,
    "POST/v1/chat/completions 1\nPOST/v1/completions 1\nPOST/v1/embeddings 1\nGET/v1/models 1\nGET/health 1\n",
  );
  writeFileSync(
    file,
    `global
  nbthread 1
defaults
  mode http
  option http-no-delay
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 300s
  timeout server 3600s
  timeout http-keep-alive 300s
  timeout http-request 10s
frontend public
  bind 127.0.0.1:${port}${isTls ? ` ssl crt ${ground.certificate.both}` : ""}
  http-request set-var(txn.path) path
  http-request set-var(txn.target) method,concat(,txn.path)
  http-request deny deny_status 404 unless { var(txn.target),map_str(${allowed}) -m found }
  http-request deny deny_status 401 unless { req.hdr(authorization),regsub(\\s,_),map_str(${keys}) -m found }
  http-request del-header authorization
  default_backend engine
backend engine
  server engine 127.0.0.1:${ground.enginePort} maxconn 5000 pool-max-conn 5000
`,
  );
  return file;
}

async function untilListening(port: number, errors: () => string): Promise<void> {
  const deadline = Date.now() + READY_MS;
  for (;;) {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const socket = connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
    const isListening = await promise;
    socket.destroy();
    if (isListening) return;
    if (Date.now() > deadline) throw new Error(`haproxy does not listen: ${errors().trim()}`);
    await new Promise((wait) => setTimeout(wait, 50));
  }
}
