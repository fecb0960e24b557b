import type { Duplex } from "node:stream";
import { afterEach, describe, expect, test } from "vitest";
import { systemClock } from "../lib/clock.ts";
import { frame, type RawBehaviour, type RawStream, rawPeer, settings } from "./__fixtures__/raw-peer.ts";
import { post, run, TestGateway } from "./__fixtures__/tunnel-pair.ts";
import {
  ANSWER_WINDOW_BYTES,
  CONTROL_LINE_LIMIT,
  DATA_FRAME_BYTES,
  HEADER_BYTES_LIMIT,
  HEADER_PAIRS_LIMIT,
  PING_BURST,
  PROBE_PATH,
} from "./constants.ts";
import { dial } from "./dial.ts";
import { FRAME, LAST, STREAM_SLOTS, writeReset } from "./frames.ts";
import { Identity } from "./identity.ts";
import type { Link } from "./link.ts";

/** What a hostile agent does with each stream. The defaults behave. */
interface Behaviour extends RawBehaviour {
  probe?(stream: RawStream): void;
  attempt?(stream: RawStream): void;
}

const cleanups: Array<() => unknown> = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

async function gatewayWithVictim(): Promise<{ gateway: TestGateway; victim: Link }> {
  const gateway = await new TestGateway().listen();
  cleanups.push(() => gateway.stop());
  // A second, honest link on the same gateway: nothing that the hostile one does may touch it.
  await connect(gateway, {}, "victim");
  await gateway.when(() => gateway.ready.length === 1);
  return { gateway, victim: gateway.ready[0]! };
}

/** Completes an honest handshake and hands the bare connection over. */
async function carrierOf(gateway: TestGateway, node: string): Promise<Duplex> {
  const identity = Identity.create();
  gateway.directory.approve(identity, { nodeId: node, nodeName: node });
  const result = await dial(
    {
      url: gateway.url,
      gatewayFingerprint: gateway.identity.fingerprint,
      identity,
      proxy: null,
      agentVersion: "x",
      tables: { operations: 1, fields: 1 },
      slot: 0,
      epoch: 1,
      attempt: 0,
      clock: systemClock,
    },
    "direct",
  );
  if (!result.ok) throw result.failure.error;
  const { carrier } = result.value;
  carrier.on("error", () => {});
  cleanups.push(() => carrier.destroy());
  return carrier;
}

async function connect(gateway: TestGateway, behaviour: Behaviour, node = "hostile"): Promise<Duplex> {
  const carrier = await carrierOf(gateway, node);
  rawPeer(carrier, {
    ...behaviour,
    onOpen(stream, head) {
      const [, path] = head as [string, string];
      if (path === PROBE_PATH) return (behaviour.probe ?? ((one) => one.ok()))(stream);
      (behaviour.attempt ?? ((one) => one.ok()))(stream);
    },
  });
  carrier.write(settings());
  return carrier;
}

async function isUnharmed(victim: Link): Promise<void> {
  expect(victim.state).toBe("ready");
  expect(await run(victim, post("/x"))).toMatchObject({ body: "ok", failure: null });
}

describe("a control message", () => {
  test.each<[string, Buffer]>([
    ["that is endless", frame(FRAME.control, 0, Buffer.alloc(CONTROL_LINE_LIMIT + 1, "a"))],
    ["that is not JSON", frame(FRAME.control, 0, "hello")],
    ["that is no message", frame(FRAME.control, 0, "[1,2]")],
    ["with a report that breaks a bound", frame(FRAME.control, 0, '{"type":"report","report":{"engines":null}}')],
    ["that is required and that nobody knows", frame(FRAME.control, 0, '{"type":"x","required":true}')],
    ["in a flood", Buffer.concat(Array.from({ length: 1000 }, () => frame(FRAME.control, 0, '{"type":"x"}')))],
    ["on a stream", frame(FRAME.control, STREAM_SLOTS, '{"type":"draining"}')],
  ])("%s costs the link and nothing else", async (_what, bytes) => {
    const { gateway, victim } = await gatewayWithVictim();
    const carrier = await connect(gateway, {});
    carrier.write(bytes);
    await gateway.when(() => gateway.closed.length === 1);
    expect(gateway.closed).toMatchObject([{ reason: "protocol", link: { id: { nodeId: "hostile" } } }]);
    expect(gateway.reports).toEqual([]);
    await isUnharmed(victim);
  });

  test("that is unknown and optional, or has unknown members, changes nothing", async () => {
    const { gateway } = await gatewayWithVictim();
    const carrier = await connect(gateway, {});
    carrier.write(frame(FRAME.control, 0, '{"type":"weather","sun":true}'));
    carrier.write(frame(FRAME.control, 0, '{"type":"draining","why":"x"}'));
    await gateway.when(() => gateway.closed.length === 1);
    expect(gateway.closed).toMatchObject([{ reason: "drained" }]);
  });
});

describe("a probe", () => {
  test("that is answered with anything but 200 never makes the link ready", async () => {
    const { gateway } = await gatewayWithVictim();
    const asked = Promise.withResolvers<void>();
    await connect(gateway, {
      probe: (stream) => {
        stream.head(500, {}, true);
        asked.resolve();
      },
    });
    await asked.promise;
    const [link] = gateway.links.ofNode("hostile");
    await link!.ping();
    expect(link!.state).toBe("probing");
    expect(gateway.links.pick("hostile")).toBeNull();
  });
});

describe("an answer", () => {
  async function outcomeOf(attempt: (stream: RawStream) => void) {
    const { gateway, victim } = await gatewayWithVictim();
    await connect(gateway, { attempt });
    await gateway.when(() => gateway.ready.length === 2);
    const link = gateway.ready[1]!;
    const outcome = await run(link, post("/x"));
    await isUnharmed(victim);
    return { outcome, link };
  }

  test("longer or shorter than its content-length is a failure, also when there is no body at all", async () => {
    for (const length of ["1", "99", "-1", "4, 4", "0x4"]) {
      const { outcome } = await outcomeOf((stream) =>
        stream.head(200, { "content-length": length }).data("half", true),
      );
      expect(outcome.failure).toMatchObject({ phase: "body", kind: "protocol" });
    }
    const { outcome } = await outcomeOf((stream) => stream.head(200, { "content-length": "4" }, true));
    expect(outcome.failure).toMatchObject({ phase: "body", kind: "protocol" });
  });

  test("that has bytes where its status allows none is a failure", async () => {
    const { outcome } = await outcomeOf((stream) => stream.head(204).data("x", true));
    expect(outcome.failure).toMatchObject({ kind: "protocol" });
  });

  test.each<[string, (stream: RawStream) => unknown]>([
    ["without a head", (stream) => stream.data("x", true)],
    ["with two heads", (stream) => stream.head(200).head(200)],
    ["with an interim head", (stream) => stream.head(103)],
    ["with a status that is none", (stream) => stream.head(99)],
    ["with a status above 599", (stream) => stream.head(600)],
    ["with a status that is no number", (stream) => stream.send(FRAME.head, '["200",{}]')],
    ["with a head that is not JSON", (stream) => stream.send(FRAME.head, "HTTP/1.1 200 OK")],
    ["with a head that is something else", (stream) => stream.send(FRAME.head, '{"status":200}')],
    [
      "with too many header fields",
      (stream) =>
        stream.head(200, Object.fromEntries(Array.from({ length: HEADER_PAIRS_LIMIT + 1 }, (_, n) => [`x-${n}`, "y"]))),
    ],
    ["with a header that splits the answer", (stream) => stream.head(200, { "x-a": "b\r\nset-cookie: c" })],
    ["with a NUL in a header", (stream) => stream.head(200, { "x-a": "b\u0000" })],
    ["with a header name in upper case", (stream) => stream.head(200, { "X-A": "b" })],
    ["with a header name that is none", (stream) => stream.head(200, { "x a:": "b" })],
    ["with a header that is a list", (stream) => stream.head(200, { "set-cookie": ["a=1", "b=2"] })],
    ["with headers deep as a well", (stream) => stream.send(FRAME.head, `[200,${"[".repeat(10_000)}`)],
  ])("%s is a failure of that stream alone, and nothing of it is passed on", async (_what, misbehave) => {
    const { outcome, link } = await outcomeOf((stream) => misbehave(stream));
    expect(outcome.failure).toMatchObject({ kind: "protocol" });
    expect(outcome.headers).not.toHaveProperty("set-cookie");
    expect(link.state).toBe("ready");
    expect(await link.ping()).toBeGreaterThan(0);
  });

  test("with a reset of an unknown kind is one plain failure", async () => {
    const { outcome } = await outcomeOf((stream) => stream.reset(Buffer.from([250, 250])));
    expect(outcome).toMatchObject({ failure: { phase: "request", kind: "reset", detail: "the agent gave no detail" } });
  });

  test("with an explanation full of escape sequences has them taken out, and is cut", async () => {
    const { outcome } = await outcomeOf((stream) =>
      stream.reset(writeReset("denied", "connect", `\u001b[31mred\n${"x".repeat(5000)}`)),
    );
    expect(outcome.failure?.detail).toMatch(/^\?\[31mred\?x+$/);
    expect(outcome.failure?.detail.length).toBeLessThanOrEqual(300);
  });
});

describe("an agent that drains", () => {
  test("gets nothing new, and what it runs may finish", async () => {
    const { gateway } = await gatewayWithVictim();
    let held: RawStream | undefined;
    const carrier = await connect(gateway, {
      attempt: (stream) => {
        held = stream.head(200, { "content-length": "5" }).data("be");
      },
    });
    await gateway.when(() => gateway.ready.length === 2);
    const link = gateway.ready[1]!;
    const begun = Promise.withResolvers<void>();
    const outcome = run(link, post("/x"), () => begun.resolve());
    await begun.promise;
    carrier.write(frame(FRAME.control, 0, '{"type":"draining"}'));
    await gateway.when(() => link.state === "draining");
    expect(await run(link, post("/y"))).toMatchObject({ failure: { phase: "connect", kind: "refused" } });
    held!.data("gin", true);
    expect(await outcome).toMatchObject({ body: "begin", failure: null });
  });
});

describe("data for a stream", () => {
  test("beyond its window costs the link, and the caller that was slow held no more than the window", async () => {
    const { gateway, victim } = await gatewayWithVictim();
    await connect(gateway, {
      attempt: (stream) => {
        stream.head(200);
        for (let sent = 0; sent <= ANSWER_WINDOW_BYTES; sent += DATA_FRAME_BYTES)
          stream.data(Buffer.alloc(DATA_FRAME_BYTES));
      },
    });
    await gateway.when(() => gateway.ready.length === 2);
    const failure = new Promise((resolve) => {
      const exchange = gateway.ready[1]!.start(post("/x"), {
        onHead: () => exchange.pause(),
        onData: () => resolve("delivered although paused"),
        onEnd: () => resolve("ended"),
        onFailure: resolve,
      });
    });
    expect(await failure).toMatchObject({ phase: "body", kind: "reset" });
    expect(gateway.closed).toMatchObject([{ reason: "protocol", detail: "more data than a window" }]);
    await isUnharmed(victim);
  });

  test("that was cancelled is dropped as far as it was under way, and beyond that costs the link", async () => {
    const { gateway, victim } = await gatewayWithVictim();
    let held: RawStream | undefined;
    const reset = Promise.withResolvers<void>();
    const carrier = await connect(gateway, {
      attempt: (stream) => {
        held = stream.head(200).data("x");
      },
      onReset: () => reset.resolve(),
    });
    await gateway.when(() => gateway.ready.length === 2);
    const link = gateway.ready[1]!;
    const exchange = link.start(post("/x"), {
      onHead() {},
      onData: () => exchange.cancel("caller_left"),
      onEnd() {},
      onFailure() {},
    });
    await reset.promise;
    for (let sent = 0; sent < ANSWER_WINDOW_BYTES - 1; sent += DATA_FRAME_BYTES)
      held!.data(Buffer.alloc(DATA_FRAME_BYTES - 1));
    expect(await link.ping()).toBeGreaterThan(0);
    expect(link.state).toBe("ready");
    const block = Buffer.concat(
      Array.from({ length: 64 }, () => frame(FRAME.data, held!.id, Buffer.alloc(DATA_FRAME_BYTES))),
    );
    carrier.write(block);
    await gateway.when(() => gateway.closed.length === 1);
    expect(gateway.closed).toMatchObject([{ reason: "protocol" }]);
    await isUnharmed(victim);
  });
});

describe("frames that an agent must not send", () => {
  const credit = (bytes: number) => {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(bytes);
    return payload;
  };
  test.each<[string, Buffer]>([
    ["a stream of its own", frame(FRAME.open | LAST, STREAM_SLOTS + 1, '["GET","/",{},0]')],
    ["an answer to nothing", frame(FRAME.head, STREAM_SLOTS + 99, "[200,{}]")],
    ["data for nothing", frame(FRAME.data, STREAM_SLOTS * 5 + 77, "x")],
    ["data on no stream", frame(FRAME.data, 0, "x")],
    ["data without bytes", frame(FRAME.data, STREAM_SLOTS)],
    ["data above the size limit", frame(FRAME.data, STREAM_SLOTS, Buffer.alloc(DATA_FRAME_BYTES + 1))],
    ["a head above the size limit", frame(FRAME.head, STREAM_SLOTS, Buffer.alloc(HEADER_BYTES_LIMIT + 1, "a"))],
    ["a credit of the wrong size", frame(FRAME.credit, STREAM_SLOTS, credit(1).subarray(1))],
    ["a reset without a reason", frame(FRAME.reset, STREAM_SLOTS, "")],
    ["a second settings frame", settings()],
    ["settings of a wrong length", frame(FRAME.settings, 0, "abc")],
    ["an answer to no ping", frame(FRAME.pong, 0, Buffer.alloc(8, 7))],
    ["a ping of a wrong length", frame(FRAME.ping, 0, "abc")],
    [
      "a flood of pings",
      Buffer.concat(Array.from({ length: PING_BURST * 4 }, () => frame(FRAME.ping, 0, Buffer.alloc(8)))),
    ],
    ["an unknown frame", frame(77, 0, "x")],
    ["a length of 16 MB", Buffer.from([FRAME.control, 0xff, 0xff, 0xff, 0, 0, 0, 0])],
    ["no frames at all", Buffer.from("HTTP/1.1 200 OK\r\n\r\n")],
  ])("%s cost the link and nothing else", async (_what, bytes) => {
    const { gateway, victim } = await gatewayWithVictim();
    const carrier = await carrierOf(gateway, "hostile");
    carrier.resume();
    carrier.write(Buffer.concat([settings(), bytes]));
    await gateway.when(() => gateway.closed.length === 1);
    expect(gateway.closed).toMatchObject([{ reason: "protocol", link: { id: { nodeId: "hostile" } } }]);
    expect(gateway.ready).toHaveLength(1);
    await isUnharmed(victim);
  });

  test("anything before settings costs the link", async () => {
    const { gateway } = await gatewayWithVictim();
    const carrier = await carrierOf(gateway, "hostile");
    carrier.resume();
    carrier.write(frame(FRAME.control, 0, '{"type":"draining"}'));
    await gateway.when(() => gateway.closed.length === 1);
    expect(gateway.closed).toMatchObject([{ reason: "protocol", detail: "no settings first" }]);
  });

  test("credit without end costs the link", async () => {
    const { gateway, victim } = await gatewayWithVictim();
    await connect(gateway, {
      attempt: (stream) => stream.send(FRAME.credit, credit(0x7fff_ffff)).send(FRAME.credit, credit(0x7fff_ffff)),
    });
    await gateway.when(() => gateway.ready.length === 2);
    expect(await run(gateway.ready[1]!, post("/x"))).toMatchObject({ failure: { kind: "reset" } });
    expect(gateway.closed).toMatchObject([{ reason: "protocol", detail: "too much credit" }]);
    await isUnharmed(victim);
  });
});
