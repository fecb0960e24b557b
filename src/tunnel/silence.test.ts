import { type AddressInfo, connect as connectPlain, createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { makeCertificate } from "../../test/support/certificate.ts";
import { type Clock, ManualClock } from "../lib/clock.ts";
import { makeConnector, post, run, TestGateway } from "./__fixtures__/tunnel-pair.ts";
import type { Connector } from "./connector.ts";
import { Liveness, type Pingable } from "./liveness.ts";
import type { Attempt } from "./serve.ts";

/** Passes bytes on between the agent and the gateway until it falls silent: a cable pulled out, later perhaps put back. */
class Relay {
  readonly server: Server;
  readonly #sockets: Socket[] = [];

  constructor(toPort: number) {
    this.server = createServer((near) => {
      const far = connectPlain(toPort, "127.0.0.1");
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.push(from);
        from.on("data", (chunk) => to.write(chunk));
        from.on("error", () => {});
      }
    });
  }

  fallSilent(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  goOn(): void {
    for (const socket of this.#sockets) socket.resume();
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return (this.server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

const attempts: Attempt[] = [];
const cleanups: Array<() => unknown> = [];
afterEach(async () => {
  attempts.length = 0;
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

async function throughRelay(carrier: "plain" | "tls" | "websocket" = "plain"): Promise<{
  clock: ManualClock;
  gateway: TestGateway;
  relay: Relay;
  connector: Connector;
}> {
  const clock = new ManualClock();
  const gateway = await new TestGateway(carrier === "plain" ? { clock } : { clock, tls: makeCertificate() }).listen();
  if (carrier === "websocket") gateway.blockUpgrade = (token) => token === "postern-link";
  const relay = new Relay(gateway.port);
  const port = await relay.listen();
  const connector = makeConnector(
    gateway,
    (attempt) => {
      attempts.push(attempt);
      attempt.head(200, {});
      attempt.write(Buffer.from("begin"));
    },
    {
      clock,
      url: new URL(`${gateway.url.protocol}//127.0.0.1:${port}`),
      events: { onDialFailure: (_failure, waitMs) => setImmediate(() => clock.advance(waitMs)) },
    },
  );
  cleanups.push(
    () => gateway.stop(),
    () => relay.stop(),
    async () => {
      const stopped = connector.stop();
      clock.advance(60_000);
      await stopped;
    },
  );
  connector.start();
  await gateway.when(() => gateway.ready.length === 1);
  return { clock, gateway, relay, connector };
}

describe("a connection that falls silent", () => {
  test("is suspect after 10 s, and destroyed on both ends after 30 s with a failure for what ran", async () => {
    const { clock, gateway, relay, connector } = await throughRelay();
    const link = gateway.ready[0]!;
    const begun = Promise.withResolvers<void>();
    const outcome = run(link, post("/x"), () => begun.resolve());
    await begun.promise;
    expect(connector.running).toBe(1);
    relay.fallSilent();
    clock.advance(5_000);
    expect(link.state).toBe("ready");
    clock.advance(5_000);
    expect(link.state).toBe("suspect");
    expect(link.canAccept()).toBe(false);
    expect(connector.running).toBe(1);
    for (let n = 0; n < 4; n++) clock.advance(5_000);
    expect(link.state).toBe("closed");
    expect(gateway.closed).toMatchObject([{ reason: "dead" }]);
    expect(await outcome).toMatchObject({ body: "begin", failure: { phase: "body", kind: "reset" } });
    expect(connector.running).toBe(0);
    await expect.poll(() => gateway.sockets.size).toBe(0);
  });

  test("for less than 30 s goes on as if nothing had been, with what ran", async () => {
    const { clock, gateway, relay } = await throughRelay();
    const link = gateway.ready[0]!;
    const begun = Promise.withResolvers<void>();
    const outcome = run(link, post("/x"), () => begun.resolve());
    await begun.promise;
    relay.fallSilent();
    for (let n = 0; n < 5; n++) clock.advance(5_000);
    expect(link.state).toBe("suspect");
    relay.goOn();
    await gateway.when(() => link.state === "ready");
    clock.advance(5_000);
    expect(link.state).toBe("ready");
    attempts[0]!.end();
    expect(await outcome).toMatchObject({ body: "begin", failure: null });
  });

  // A link that ends over a socket whose writes never finish.
  test.each(["plain", "tls", "websocket"] as const)(
    "with writes stuck in both directions ends cleanly over %s",
    async (carrier) => {
      const { clock, gateway, relay, connector } = await throughRelay(carrier);
      const link = gateway.ready[0]!;
      relay.fallSilent();
      const stuck = Array.from({ length: 30 }, (_, n) => run(link, post(`/${n}`, Buffer.alloc(1024 * 1024))));
      await new Promise((resolve) => setImmediate(resolve));
      for (let n = 0; n < 6; n++) clock.advance(5_000);
      for (const outcome of await Promise.all(stuck)) {
        expect(outcome).toMatchObject({ failure: { phase: "request", kind: "reset" } });
      }
      expect(gateway.closed).toMatchObject([{ reason: "dead" }]);
      await expect.poll(() => gateway.sockets.size).toBe(0);
      expect(connector.running).toBe(0);
    },
  );

  test("makes ping() reject after its limit, never hang", async () => {
    const { clock, gateway, relay } = await throughRelay();
    relay.fallSilent();
    const ping = gateway.ready[0]!.ping(1000);
    clock.advance(1000);
    await expect(ping).rejects.toThrow("no answer in time");
  });
});

describe("Liveness", () => {
  /** A session whose pings nobody answers. */
  const session: Pingable = { ping: () => true };

  test("does not hold it against the peer when it was this process that slept", () => {
    // Unlike ManualClock, whose timers run when they are due: here they run an hour late, as after a suspended laptop.
    let nowMs = 0;
    let due: (() => void) | undefined;
    const clock: Clock = {
      nowMs: () => nowMs,
      monotonicMs: () => nowMs,
      after(_delayMs, callback) {
        due = callback;
        return { cancel() {} };
      },
    };
    const states: string[] = [];
    new Liveness(session, clock, (state) => states.push(state)).start();
    nowMs = 3_600_000;
    due?.();
    expect(states).toEqual([]);
    nowMs += 5_000;
    due?.();
    expect(states).toEqual(["suspect"]);
  });

  test("counts pings that cannot be sent as silence", () => {
    const clock = new ManualClock();
    const states: string[] = [];
    new Liveness({ ping: () => false }, clock, (state) => states.push(state)).start();
    clock.advance(30_000);
    expect(states).toEqual(["suspect", "dead"]);
    expect(clock.pendingTimers).toBe(0);
  });
});
