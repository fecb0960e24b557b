import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import type { Status } from "../../src/admin/contract-status.ts";
import { eventually } from "../support/eventually.ts";
import { type Pebble, startPebble } from "../support/pebble.ts";
import { cleanUp, Postern, postern, temporaryFolder } from "../support/postern.ts";

/** Certificates from a real authority, over real sockets: `postern gateway` in a process of its own, and Debian's pebble. */
const DOMAIN = "ai.example.org";
const SECOND_DOMAIN = "ki.example.org";

let pebble: Pebble | null = null;
afterEach(async () => {
  await cleanUp();
  await pebble?.stop();
  pebble = null;
});

interface Running {
  gateway: Postern;
  data: string;
  status(): Promise<Status>;
  secret: string;
}

async function serve(authority: Pebble, challenge: "http-01" | "tls-alpn-01"): Promise<Running> {
  const folder = await temporaryFolder("acme");
  const data = join(folder, "data");
  await mkdir(data, { mode: 0o700 });
  const config = join(folder, "postern.yaml");
  await writeFile(
    config,
    `gateway:
  listen: 127.0.0.1:${authority.tlsPort}
  plainListen: 127.0.0.1:${authority.httpPort}
  tls:
    acme:
      directory: ${authority.directory}
      ca: ${authority.directoryCa}
      email: somebody@example.org
      domains: [${DOMAIN}, ${SECOND_DOMAIN}]
      challenge: ${challenge}
      termsAgreed: true
`,
  );
  const created = await postern<{ secret: string }>(["keys", "create", "e2e", "--data", data]);
  const common = ["--config", config, "--data", data];
  const gateway = new Postern(["gateway", "--json", ...common, "--admin-listen", "127.0.0.1:0"]);
  await gateway.firstJson();
  return { gateway, data, secret: created.secret, status: () => status(common) };
}

/** `status` ends with 1 while something is not well, and says it all the same. */
async function status(common: string[]): Promise<Status> {
  const run = new Postern(["status", "--json", ...common]);
  await run.exited;
  return JSON.parse(run.stdout) as Status;
}

/** Serial number of the certificate that a new connection is shown; undefined where it is none of the authority's. */
function serial(authority: Pebble, servername = DOMAIN): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ port: authority.tlsPort, host: "127.0.0.1", servername, ca: authority.root }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.on("error", () => resolve(undefined));
  });
}

function models(authority: Pebble, secret: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${secret}`, host: `${DOMAIN}:${authority.tlsPort}` };
    const to = {
      host: "127.0.0.1",
      port: authority.tlsPort,
      servername: DOMAIN,
      ca: authority.root,
      agent: false as const,
    };
    request({ ...to, path: "/v1/models", headers }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on("error", reject)
      .end();
  });
}

const listener = (status: Status) => status.gateway?.listeners.find((one) => one.name === "public");

describe("a certificate by ACME", () => {
  it("is ordered with a proof over TLS, on the one port that callers use, and kept over a restart", async () => {
    pebble = await startPebble(7 * 86_400);
    if (pebble === null) return;
    const authority = pebble;
    const { gateway, data, secret, status } = await serve(authority, "tls-alpn-01");
    const first = await eventually(() => serial(authority), "a certificate");
    expect(await serial(authority, SECOND_DOMAIN)).toBe(first);
    expect(await models(authority, secret)).toBe(200);
    expect(listener(await status())).toMatchObject({
      tls: "acme",
      certificate: { names: [DOMAIN, SECOND_DOMAIN], problem: null },
    });
    const [folder = ""] = await readdir(join(data, "acme"));
    for (const file of await readdir(join(data, "acme", folder))) {
      expect((await stat(join(data, "acme", folder, file))).mode & 0o777).toBe(0o600);
    }
    const args = gateway.child.spawnargs.slice(2);
    await gateway.stop();
    const again = new Postern(args);
    await again.firstJson();
    expect(await serial(authority)).toBe(first);
    expect(again.stderr).not.toContain("ordering a certificate");
  });

  it("is ordered with a proof over HTTP, renewed ahead of its end, and kept when the authority is away", async () => {
    pebble = await startPebble(15);
    if (pebble === null) return;
    const authority = pebble;
    const { gateway, status } = await serve(authority, "http-01");
    const first = await eventually(() => serial(authority), "a certificate");
    const second = await eventually(async () => {
      const now = await serial(authority);
      return now === first ? undefined : now;
    }, "a renewed certificate");
    await authority.stop();
    await gateway.untilLogged("certificate not ordered, the old one stays");
    const { certificate } = listener(await status()) ?? {};
    expect(certificate?.problem).toMatch(/ECONNREFUSED/);
    expect(certificate?.nextTryAtMs).toBeGreaterThan(Date.now() + 60_000);
    expect(await serial(authority)).toBe(second);
  });

  it("that the authority refuses leaves the gateway running, not ready, with the authority's own words", async () => {
    pebble = await startPebble(7 * 86_400);
    if (pebble === null) return;
    const authority = { ...pebble, httpPort: 0 };
    const { gateway, status } = await serve(authority, "http-01");
    await gateway.untilLogged("certificate not ordered");
    const said = await status();
    expect(said.gateway?.ready).toBe(false);
    expect(said.gateway?.reasons.join()).toMatch(/no certificate yet: .*(refused|unauthorized|connection)/i);
    expect(await serial(authority)).toBeUndefined();
  });
});
