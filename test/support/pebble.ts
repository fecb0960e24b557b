import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, fetch as undiciFetch } from "undici";
import { makeCertificate } from "./certificate.ts";
import { eventually } from "./eventually.ts";

/** Pebble, the certificate authority for tests of Let's Encrypt (Debian: `pebble`), with a DNS that leads every name to loopback. */
export interface Pebble {
  directory: string;
  /** PEM of the authority behind the directory's own certificate. */
  directoryCa: string;
  /** PEM of the root that signs the certificates it issues. */
  root: string;
  /** Where it asks over HTTP and over TLS. */
  httpPort: number;
  tlsPort: number;
  stop(): Promise<void>;
}

/** Null, after saying so loudly, where it is not installed. @param validitySeconds Life of the certificates that it issues. */
export async function startPebble(validitySeconds: number): Promise<Pebble | null> {
  const isThere = ["pebble", "pebble-challtestsrv"].every((name) => spawnSync(name, ["-help"]).error === undefined);
  if (!isThere) {
    const line = "*".repeat(80);
    process.stderr.write(
      `\n${line}\nSKIPPED: ACME tests. pebble is not installed (Debian: apt-get install pebble).\n${line}\n\n`,
    );
    return null;
  }
  const folder = await mkdtemp(join(tmpdir(), "postern-pebble-"));
  const own = makeCertificate();
  await writeFile(join(folder, "cert.pem"), own.cert);
  await writeFile(join(folder, "key.pem"), own.key);
  const [listen, management, httpPort, tlsPort, dns, dnsManagement] = await freePorts(6);
  const pebble = {
    listenAddress: `127.0.0.1:${listen}`,
    managementListenAddress: `127.0.0.1:${management}`,
    certificate: join(folder, "cert.pem"),
    privateKey: join(folder, "key.pem"),
    httpPort,
    tlsPort,
    certificateValidityPeriod: validitySeconds,
  };
  await writeFile(join(folder, "pebble.json"), JSON.stringify({ pebble }));
  const off = ["-http01", "", "-https01", "", "-tlsalpn01", ""];
  const names = run("pebble-challtestsrv", [
    ...off,
    "-dns01",
    `127.0.0.1:${dns}`,
    "-management",
    `127.0.0.1:${dnsManagement}`,
    "-defaultIPv4",
    "127.0.0.1",
    "-defaultIPv6",
    "",
  ]);
  const authority = run("pebble", ["-config", join(folder, "pebble.json"), "-dnsserver", `127.0.0.1:${dns}`]);
  const dispatcher = new Agent({ connect: { ca: own.cert } });
  try {
    const root = await eventually(async () => {
      const answer = await undiciFetch(`https://127.0.0.1:${management}/roots/0`, { dispatcher });
      return answer.text();
    }, "pebble");
    await dispatcher.close();
    return {
      directory: `https://127.0.0.1:${listen}/dir`,
      directoryCa: join(folder, "cert.pem"),
      root,
      httpPort: httpPort ?? 0,
      tlsPort: tlsPort ?? 0,
      async stop() {
        await Promise.all([end(authority), end(names)]);
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await Promise.all([end(authority), end(names), dispatcher.close()]);
    throw error;
  }
}

function run(program: string, args: string[]): ChildProcess {
  const { PATH = "" } = process.env;
  // Without pauses before it asks, and without the errors that it makes up to try its clients' patience.
  const env = { PATH, PEBBLE_VA_NOSLEEP: "1", PEBBLE_WFE_NONCEREJECT: "0" };
  return spawn(program, args, { env, stdio: "ignore" });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

/** Ports that were free a moment ago: pebble must be told where the gateway will listen, and cannot choose its own. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    ports.push(typeof address === "object" ? (address?.port ?? 0) : 0);
  }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
