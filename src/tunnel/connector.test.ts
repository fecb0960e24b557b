import { createServer, type Server } from "node:http";
import { type AddressInfo, connect as connectPlain, type Socket } from "node:net";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { makeCertificate } from "../../test/support/certificate.ts";
import { ManualClock, systemClock } from "../lib/clock.ts";
import { nodeReport } from "./__fixtures__/node-report.ts";
import { makeConnector, post, reply, run, TestGateway } from "./__fixtures__/tunnel-pair.ts";
import { Connector, type ConnectorOptions } from "./connector.ts";
import { DIRECT_RETRY_MS } from "./constants.ts";
import type { DialFailure } from "./dial-failure.ts";
import { Identity } from "./identity.ts";
import type { NodeReport } from "./link.ts";
import { proxyFor } from "./proxy-connect.ts";
import type { Attempt } from "./serve.ts";

let certificate: { key: string; cert: string };
beforeAll(() => {
  certificate = makeCertificate();
});

const cleanups: Array<() => unknown> = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

const report: NodeReport = { ...nodeReport(), agentVersion: "0.1.0" };

function echo(attempt: Attempt): void {
  attempt.collectBody((body) => {
    attempt.head(200, {});
    attempt.write(body);
    attempt.end();
  });
}

async function listening(options: ConstructorParameters<typeof TestGateway>[0] = {}): Promise<TestGateway> {
  const gateway = await new TestGateway(options).listen();
  cleanups.push(() => gateway.stop());
  return gateway;
}

function connecting(gateway: TestGateway, options: Partial<ConnectorOptions> = {}): Connector {
  const connector = makeConnector(gateway, echo, { random: () => 0, ...options });
  cleanups.push(() => connector.stop());
  connector.start();
  return connector;
}

describe("a connector", () => {
  test("keeps two links by default, on two slots, with rising epochs", async () => {
    const gateway = await listening({ tls: certificate });
    const connector = connecting(gateway, { links: 2 });
    await gateway.when(() => gateway.ready.length === 2);
    expect(gateway.ready.map((link) => link.id.slot).sort()).toEqual([0, 1]);
    expect(gateway.ready.map((link) => link.id.epoch).sort()).toEqual([1, 2]);
    expect(connector.state).toEqual({ name: "connected", links: 2 });
  });

  test("comes back by itself after the connection was lost, with a higher epoch", async () => {
    const gateway = await listening({ tls: certificate });
    connecting(gateway);
    await gateway.when(() => gateway.ready.length === 1);
    for (const socket of gateway.sockets) socket.destroy();
    await gateway.when(() => gateway.ready.length === 2);
    expect(gateway.ready[1]!.id.epoch).toBeGreaterThan(gateway.ready[0]!.id.epoch);
    expect(await run(gateway.links.pick("node-1")!, post("/x", "back"))).toMatchObject({ body: "back" });
  });

  test("sends its report on every link, on new ones too, and again when it changes", async () => {
    const gateway = await listening();
    const connector = connecting(gateway);
    connector.report(report);
    await gateway.when(() => gateway.reports.length === 1);
    connector.report({ ...report, agentVersion: "0.1.1" });
    await gateway.when(() => gateway.reports.length === 2);
    for (const socket of gateway.sockets) socket.destroy();
    await gateway.when(() => gateway.reports.length === 3);
    expect(gateway.reports.map((one) => one.report.agentVersion)).toEqual(["0.1.0", "0.1.1", "0.1.1"]);
    expect(gateway.reports[0]).toMatchObject({ nodeId: "node-1", report });
  });

  test("that has much to report does not flood its link: the last one arrives", async () => {
    const gateway = await listening();
    const connector = connecting(gateway);
    await gateway.when(() => gateway.ready.length === 1);
    for (let n = 0; n < 500; n++) connector.report({ ...report, operationsVersion: n });
    await gateway.when(() => gateway.reports.at(-1)?.report.operationsVersion === 499);
    expect(gateway.reports.length).toBeLessThan(5);
    expect(gateway.closed).toEqual([]);
  });

  test("hears which models it may serve", async () => {
    const gateway = await listening();
    const heard = Promise.withResolvers<unknown>();
    connecting(gateway, { events: { onModels: (granted, refused) => heard.resolve({ granted, refused }) } });
    await gateway.when(() => gateway.ready.length === 1);
    gateway.links.tellModels("node-1", ["llama3.1:8b"], [{ name: "x", reason: "not granted" }]);
    expect(await heard.promise).toEqual({ granted: ["llama3.1:8b"], refused: [{ name: "x", reason: "not granted" }] });
  });

  test("replaces its own dead link at once: the newer epoch wins without waiting", async () => {
    const gateway = await listening();
    const identity = Identity.create();
    let epoch = 0;
    const options = { identity, nextEpoch: async (floor: number) => (epoch = Math.max(epoch, floor) + 1) };
    connecting(gateway, options);
    await gateway.when(() => gateway.ready.length === 1);
    // The same connector started again, as after a power cut that the gateway has not noticed.
    connecting(gateway, options);
    await gateway.when(() => gateway.closed.length >= 1 && gateway.ready.length >= 2);
    expect(gateway.closed[0]).toMatchObject({ reason: "superseded", link: gateway.ready[0] });
  });

  test("that lost its epoch is told the floor and comes back above it", async () => {
    const gateway = await listening();
    const identity = Identity.create();
    gateway.directory.approve(identity);
    gateway.directory.connectors.get(identity.fingerprint)!.lastEpoch = 1_000_000;
    const failures: DialFailure[] = [];
    const connector = new Connector({
      url: gateway.url,
      gatewayFingerprint: gateway.identity.fingerprint,
      identity,
      agentVersion: "x",
      tables: { operations: 1, fields: 1 },
      links: 1,
      nextEpoch: async (floor) => floor + 1,
      onAttempt: echo,
      clock: systemClock,
      random: () => 0,
      events: { onDialFailure: (failure) => failures.push(failure) },
    });
    cleanups.push(() => connector.stop());
    connector.start();
    await gateway.when(() => gateway.ready.length === 1);
    expect(failures).toMatchObject([{ stage: "upgrade", permanent: false }]);
    expect(gateway.ready[0]!.id.epoch).toBeGreaterThan(999_000);
  });

  test("stops for good, with a clear error, when the gateway says that it is pointless", async () => {
    const gateway = await listening();
    const told = { code: "version_mismatch", message: "too old", permanent: true, retryAfterSeconds: 0 };
    gateway.onRequest = (_request, response) => reply(response, 426, JSON.stringify(told));
    const failed = Promise.withResolvers<void>();
    const connector = connecting(gateway, {
      events: {
        onState: (state) => {
          if (state.name === "failed") failed.resolve();
        },
      },
    });
    await failed.promise;
    expect(connector.state).toMatchObject({
      error: { code: "version_mismatch", message: "The gateway refused: too old" },
    });
  });

  test("stops for good when its epoch cannot be written down", async () => {
    const gateway = await listening();
    const failed = Promise.withResolvers<void>();
    const connector = connecting(gateway, {
      nextEpoch: () => Promise.reject(new Error("disk full")),
      events: { onState: () => failed.resolve() },
    });
    await failed.promise;
    expect(connector.state).toMatchObject({ name: "failed", error: { code: "data_folder" } });
  });

  test("waits as long as the gateway asks", async () => {
    const gateway = await listening();
    gateway.acceptor.stop();
    const failure = Promise.withResolvers<number>();
    connecting(gateway, {
      clock: new ManualClock(),
      events: { onDialFailure: (_failure, waitMs) => failure.resolve(waitMs) },
    });
    expect(await failure.promise).toBeGreaterThanOrEqual(1000);
  });

  test("stopped while it dials leaves nothing behind", async () => {
    const gateway = await listening({ tls: certificate });
    const clock = new ManualClock();
    const connector = connecting(gateway, { clock, links: 2 });
    await connector.stop();
    await expect.poll(() => gateway.sockets.size).toBe(0);
    expect(clock.pendingTimers).toBe(0);
    expect(connector.state).toEqual({ name: "stopped" });
  });
});

describe("the WebSocket fallback", () => {
  test("is taken when the upgrade is refused by something on the way, and left again after an hour", async () => {
    const clock = new ManualClock();
    const gateway = await listening({ tls: certificate, clock });
    let isBlocked = true;
    gateway.blockUpgrade = (token) => isBlocked && token === "postern-link";
    const retry = Promise.withResolvers<void>();
    connecting(gateway, { clock, events: { onDialFailure: () => retry.resolve() } });
    await retry.promise;
    clock.advance(300);
    await gateway.when(() => gateway.ready.length === 1);
    expect(gateway.ready[0]!.carrier).toBe("websocket");
    isBlocked = false;
    // In steps, with the answers to the pings in between: an hour at once would look like an hour of silence.
    const [first] = gateway.ready;
    for (let elapsedMs = 0; elapsedMs < DIRECT_RETRY_MS + 1_200_000 && first!.state === "ready"; elapsedMs += 5_000) {
      // Rejects in the step in which the agent gives the link up.
      await first!.ping().catch(() => {});
      clock.advance(5_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const turning = setInterval(() => clock.advance(20), 5);
    cleanups.push(() => clearInterval(turning));
    await gateway.when(() => gateway.ready.some((link) => link.carrier === "direct" && link.state === "ready"));
  });

  test("is not taken because the gateway was down", async () => {
    const gateway = await listening();
    await gateway.stop();
    const clock = new ManualClock();
    let failures = 0;
    const connector = makeConnector(gateway, echo, {
      clock,
      random: () => 0,
      events: {
        onDialFailure: () => {
          failures += 1;
        },
      },
    });
    cleanups.push(() => connector.stop());
    connector.start();
    for (let n = 1; n <= 6; n++) {
      await expect.poll(() => failures).toBe(n);
      clock.advance(200);
    }
    const again = new TestGateway({ identity: gateway.identity });
    cleanups.push(() => again.stop());
    for (const [id, known] of gateway.directory.connectors) again.directory.connectors.set(id, known);
    await again.listen(gateway.port);
    const turning = setInterval(() => clock.advance(200), 5);
    cleanups.push(() => clearInterval(turning));
    await again.when(() => again.ready.length === 1);
    expect(again.ready[0]!.carrier).toBe("direct");
  });
});

describe("a proxy", () => {
  async function proxy(
    answer: "200" | "407",
  ): Promise<{ url: URL; server: Server; asked: string[]; credentials: unknown[] }> {
    const asked: string[] = [];
    const credentials: unknown[] = [];
    const sockets = new Set<Socket>();
    const server = createServer();
    server.on("connect", (request, socket: Socket) => {
      asked.push(request.url ?? "");
      credentials.push(request.headers["proxy-authorization"]);
      sockets.add(socket);
      if (answer !== "200") return socket.end(`HTTP/1.1 ${answer} No\r\nContent-Length: 0\r\n\r\n`);
      const [, port] = (request.url ?? "").split(":");
      // The name in the request exists nowhere: the proxy alone knows that it is on loopback.
      const far = connectPlain(Number(port), "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
        far.pipe(socket).pipe(far);
      });
      sockets.add(far);
      for (const one of [socket, far]) one.on("error", () => {});
      return undefined;
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    });
    const url = new URL(`http://user:p%40ss@127.0.0.1:${(server.address() as AddressInfo).port}`);
    return { url, server, asked, credentials };
  }

  test("in HTTPS_PROXY is used through CONNECT, with its credentials, and the link works", async () => {
    const gateway = await listening({ tls: certificate });
    const { url, asked, credentials } = await proxy("200");
    connecting(gateway, {
      url: new URL(`https://gateway.invalid:${gateway.port}`),
      environment: { HTTPS_PROXY: String(url) },
    });
    await gateway.when(() => gateway.ready.length === 1);
    expect(asked).toEqual([`gateway.invalid:${gateway.port}`]);
    expect(credentials).toEqual([`Basic ${Buffer.from("user:p@ss").toString("base64")}`]);
    expect(await run(gateway.ready[0]!, post("/x", "hi"))).toMatchObject({ body: "hi" });
  });

  test("that refuses is said to, without its credentials", async () => {
    const { url } = await proxy("407");
    const gateway = await listening({ tls: certificate });
    const failure = Promise.withResolvers<DialFailure>();
    connecting(gateway, {
      url: new URL("https://gateway.invalid"),
      environment: { https_proxy: String(url) },
      clock: new ManualClock(),
      events: { onDialFailure: failure.resolve },
    });
    const { error, stage } = await failure.promise;
    expect(stage).toBe("connect");
    expect(error.message).toContain("407");
    expect(JSON.stringify([error.message, error.hint, error.detail])).not.toContain("p@ss");
  });

  const gateway = new URL("https://gw.example.com:8443");
  test.each<[string, Record<string, string>, string | null]>([
    ["nothing", {}, null],
    ["HTTPS_PROXY", { HTTPS_PROXY: "http://p:3128" }, "http://p:3128/"],
    ["a proxy without a scheme", { HTTPS_PROXY: "p:3128" }, "http://p:3128/"],
    ["ALL_PROXY", { ALL_PROXY: "http://p:3128" }, "http://p:3128/"],
    ["NO_PROXY *", { HTTPS_PROXY: "http://p", NO_PROXY: "*" }, null],
    ["NO_PROXY with the host", { HTTPS_PROXY: "http://p", NO_PROXY: "a, gw.example.com" }, null],
    ["NO_PROXY with the domain", { HTTPS_PROXY: "http://p", no_proxy: ".example.com" }, null],
    ["NO_PROXY with host and port", { HTTPS_PROXY: "http://p", NO_PROXY: "gw.example.com:8443" }, null],
    ["NO_PROXY with another port", { HTTPS_PROXY: "http://p", NO_PROXY: "gw.example.com:443" }, "http://p/"],
    ["NO_PROXY with a part of the name only", { HTTPS_PROXY: "http://p", NO_PROXY: "ample.com" }, "http://p/"],
  ])("with %s", (_what, environment, expected) => {
    expect(proxyFor(gateway, environment)?.href ?? null).toBe(expected);
  });

  test("is never used for loopback, nor for plain http", () => {
    const environment = { HTTPS_PROXY: "http://p" };
    for (const url of ["https://localhost:1", "https://127.0.0.1:1", "https://[::1]:1", "http://127.0.0.1:1"]) {
      expect(proxyFor(new URL(url), environment)).toBeNull();
    }
  });

  test("that is no http URL is a configuration error", () => {
    expect(() => proxyFor(gateway, { HTTPS_PROXY: "socks5://p:1" })).toThrow("HTTPS_PROXY");
  });
});

describe("many agents at once", () => {
  test("500 that lost their gateway come back, none starves, and the gateway keeps answering", async () => {
    const gateway = await listening({
      acceptor: {
        limits: {
          concurrent: 32,
          pending: 256,
          burst: 200,
          perSecond: 500,
          addressBurst: 10_000,
          addressPerSecond: 10_000,
        },
      },
    });
    const connectors = Array.from({ length: 500 }, (_, n) => {
      const identity = Identity.create();
      const connector = makeConnector(gateway, echo, { identity, capacity: 8 });
      gateway.directory.approve(identity, { nodeId: `node-${n}`, nodeName: `node-${n}` });
      return connector;
    });
    cleanups.push(() => Promise.all(connectors.map((connector) => connector.stop())));
    for (const connector of connectors) connector.start();
    await gateway.when(() => gateway.ready.length === 500);
    const [innocent] = connectors;
    for (const socket of gateway.sockets) socket.destroy();
    // While they come back, whoever is back is served: the longest wait stays far below a stall. In processor time of this process,
    // in which both ends of all links run: what other processes take of the machine is no fault of the gateway's.
    await gateway.when(() => gateway.ready.length > 500);
    let longestMs = 0;
    while (gateway.ready.length < 1000) {
      const link = gateway.ready.findLast((one) => one.canAccept());
      const started = process.cpuUsage();
      if (link) expect((await run(link, post("/x", "hi"))).failure).toBeNull();
      const { user, system } = process.cpuUsage(started);
      longestMs = Math.max(longestMs, (user + system) / 1000);
      const count = gateway.ready.length;
      await gateway.when(() => gateway.ready.length > Math.min(count, 999));
    }
    expect(new Set(gateway.ready.slice(500).map((link) => link.id.nodeId)).size).toBe(500);
    expect(longestMs).toBeLessThan(1000);
    expect(innocent!.state).toEqual({ name: "connected", links: 1 });
  }, 180_000);
});
