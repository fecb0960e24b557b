import { performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { afterEach, describe, expect, test } from "vitest";
import { systemClock } from "../lib/clock.ts";
import { post, run, TestGateway } from "./__fixtures__/tunnel-pair.ts";
import { CONTROL_LINE_LIMIT, CONTROL_PATH, PROBE_PATH } from "./constants.ts";
import { dial } from "./dial.ts";
import { Identity } from "./identity.ts";
import type { Link } from "./link.ts";

/** What a hostile agent does with each stream. The defaults behave. */
interface Behaviour {
  control?(stream: ServerHttp2Stream): void;
  probe?(stream: ServerHttp2Stream): void;
  attempt?(stream: ServerHttp2Stream): void;
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
    "h2",
  );
  if (!result.ok) throw result.failure.error;
  const { carrier } = result.value;
  carrier.on("error", () => {});
  cleanups.push(() => carrier.destroy());
  return carrier;
}

async function connect(gateway: TestGateway, behaviour: Behaviour, node = "hostile"): Promise<ServerHttp2Session> {
  const session = performServerHandshake(await carrierOf(gateway, node));
  session.on("error", () => {});
  session.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    const path = headers[":path"];
    if (path === CONTROL_PATH) return (behaviour.control ?? ((one) => one.respond({ ":status": 200 })))(stream);
    if (path === PROBE_PATH) return (behaviour.probe ?? answerOk)(stream);
    (behaviour.attempt ?? answerOk)(stream);
  });
  return session;
}

function answerOk(stream: ServerHttp2Stream): void {
  stream.respond({ ":status": 200, "content-length": "2" });
  stream.end("ok");
}

async function isUnharmed(victim: Link): Promise<void> {
  expect(victim.state).toBe("ready");
  expect(await run(victim, post("/x"))).toMatchObject({ body: "ok", failure: null });
}

describe("a control stream", () => {
  const bad: Array<[string, (stream: ServerHttp2Stream) => void]> = [
    ["with an endless line", (stream) => stream.write(Buffer.alloc(CONTROL_LINE_LIMIT + 1, "a"))],
    ["that is not JSON", (stream) => stream.write("hello\n")],
    ["with a message that is no message", (stream) => stream.write("[1,2]\n")],
    ["with a report that breaks a bound", (stream) => stream.write('{"type":"report","report":{"engines":null}}\n')],
    ["with a required message that nobody knows", (stream) => stream.write('{"type":"x","required":true}\n')],
    ["with a flood of lines", (stream) => stream.write('{"type":"x"}\n'.repeat(1000))],
    ["that ends", (stream) => stream.end()],
    ["that is reset", (stream) => stream.close(8)],
  ];
  test.each(bad)("%s costs the link and nothing else", async (_what, misbehave) => {
    const { gateway, victim } = await gatewayWithVictim();
    await connect(gateway, {
      control: (stream) => {
        stream.respond({ ":status": 200 });
        misbehave(stream);
      },
    });
    await gateway.when(() => gateway.closed.length === 1);
    expect(gateway.closed).toMatchObject([{ reason: "protocol", link: { id: { nodeId: "hostile" } } }]);
    expect(gateway.reports).toEqual([]);
    await isUnharmed(victim);
  });

  test("that is refused costs the link", async () => {
    const { gateway } = await gatewayWithVictim();
    await connect(gateway, { control: (stream) => stream.respond({ ":status": 404 }, { endStream: true }) });
    await gateway.when(() => gateway.closed.length === 1);
    expect(gateway.closed).toMatchObject([{ reason: "protocol" }]);
  });

  test("with unknown optional messages and members works on", async () => {
    const { gateway } = await gatewayWithVictim();
    await connect(gateway, {
      control: (stream) => {
        stream.respond({ ":status": 200 });
        stream.write('{"type":"weather","sun":true}\n\n{"type":"draining","why":"x"}\n');
      },
    });
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
        stream.respond({ ":status": 500 }, { endStream: true });
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
  async function outcomeOf(attempt: (stream: ServerHttp2Stream) => void) {
    const { gateway, victim } = await gatewayWithVictim();
    await connect(gateway, { attempt });
    await gateway.when(() => gateway.ready.length === 2);
    const link = gateway.ready[1]!;
    const outcome = await run(link, post("/x"));
    await isUnharmed(victim);
    return { outcome, link };
  }

  test("that ends without saying that it is complete is cut", async () => {
    const { outcome, link } = await outcomeOf((stream) => {
      stream.respond({ ":status": 200 });
      stream.end("half");
    });
    expect(outcome).toMatchObject({ body: "half", failure: { phase: "body", kind: "cut" } });
    expect(link.state).toBe("ready");
  });

  test("reset with NO_ERROR in the middle is cut", async () => {
    const { outcome } = await outcomeOf((stream) => {
      stream.respond({ ":status": 200 });
      stream.write("half", () => stream.close(0));
    });
    expect(outcome).toMatchObject({ failure: { phase: "body", kind: "cut" } });
  });

  test("longer or shorter than its content-length is a failure", async () => {
    for (const length of ["1", "99"]) {
      const { outcome } = await outcomeOf((stream) => {
        stream.respond({ ":status": 200, "content-length": length });
        stream.end("half");
      });
      expect(outcome.failure?.kind).toMatch(/^(?:protocol|reset)$/);
    }
  });

  test("with a flood of interim heads is reset", async () => {
    const { outcome, link } = await outcomeOf((stream) => {
      for (let n = 0; n < 50; n++) stream.additionalHeaders({ ":status": 103 });
      answerOk(stream);
    });
    expect(outcome).toMatchObject({ failure: { kind: "protocol" } });
    expect(link.state).toBe("ready");
  });

  test("with a few interim heads is fine, and they are not passed on", async () => {
    const { outcome } = await outcomeOf((stream) => {
      stream.additionalHeaders({ ":status": 103, link: "</x>" });
      answerOk(stream);
    });
    expect(outcome).toMatchObject({ status: 200, body: "ok", failure: null });
    expect(outcome.headers["link"]).toBeUndefined();
  });

  test("with too many header fields, or too long ones, is a failure of the stream", async () => {
    for (const headers of [
      Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`x-${n}`, "y"])),
      { "x-long": "y".repeat(60_000) },
    ]) {
      const { outcome } = await outcomeOf((stream) => {
        try {
          stream.respond({ ":status": 200, ...headers });
          stream.end("ok");
        } catch {
          stream.close(2);
        }
      });
      expect(outcome.failure).not.toBeNull();
    }
  });

  test("that repeats Set-Cookie has none", async () => {
    const { outcome } = await outcomeOf((stream) => {
      stream.respond({ ":status": 200, "content-length": "0", "set-cookie": ["a=1", "b=2"] }, { endStream: true });
    });
    expect(outcome.failure).toBeNull();
    expect(outcome.headers["set-cookie"]).toBeUndefined();
  });

  test("with a failure of an unknown kind, or an endless explanation, is still one plain failure", async () => {
    const { outcome } = await outcomeOf((stream) => {
      stream.respond({ ":status": 502, "postern-failure": "lunacy", "postern-phase": "moon" });
      stream.end(Buffer.alloc(300_000, "x"));
    });
    expect(outcome).toMatchObject({ failure: { phase: "request", kind: "reset", detail: "the agent gave no detail" } });
  });

  test("with an explanation full of escape sequences has them taken out", async () => {
    const { outcome } = await outcomeOf((stream) => {
      stream.respond({ ":status": 502, "postern-failure": "denied" });
      stream.end(JSON.stringify({ detail: `\u001b[31mred\n${"x".repeat(1000)}` }));
    });
    expect(outcome.failure?.detail).toMatch(/^\?\[31mred\?x+$/);
    expect(outcome.failure?.detail.length).toBeLessThanOrEqual(300);
  });
});

describe("an agent that says GOAWAY", () => {
  test("gets nothing new, and what it runs may finish", async () => {
    const { gateway } = await gatewayWithVictim();
    let held: ServerHttp2Stream | undefined;
    const session = await connect(gateway, {
      attempt: (stream) => {
        held = stream;
        stream.respond({ ":status": 200, "content-length": "5" });
        stream.write("be");
      },
    });
    await gateway.when(() => gateway.ready.length === 2);
    const link = gateway.ready[1]!;
    const begun = Promise.withResolvers<void>();
    const outcome = run(link, post("/x"), () => begun.resolve());
    await begun.promise;
    session.close();
    await gateway.when(() => link.state === "draining");
    expect(await run(link, post("/y"))).toMatchObject({ failure: { phase: "connect", kind: "refused" } });
    held!.end("gin");
    expect(await outcome).toMatchObject({ body: "begin", failure: null });
  });

  test("with an error loses the link at once", async () => {
    const { gateway, victim } = await gatewayWithVictim();
    const session = await connect(gateway, {});
    await gateway.when(() => gateway.ready.length === 2);
    session.goaway(11);
    await gateway.when(() => gateway.closed.length === 1);
    expect(gateway.closed).toMatchObject([{ reason: "peer" }]);
    await isUnharmed(victim);
  });
});

describe("frames that an agent must not send", () => {
  const frame = (type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)) => {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head.writeUInt8(type, 3);
    head.writeUInt8(flags, 4);
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
  };
  const settings = Buffer.concat([frame(4, 0, 0), frame(4, 1, 0)]);
  const literal = (name: string, value: string) =>
    Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)]);
  const status = (code: string) => literal(":status", code);
  const bad: Array<[string, Buffer]> = [
    ["a push", frame(5, 4, 1, Buffer.concat([Buffer.from([0, 0, 0, 2]), literal(":path", "/")]))],
    ["a stream of its own", frame(1, 4, 2, status("200"))],
    ["an answer to nothing", frame(1, 4, 99, status("200"))],
    ["data before a head", frame(0, 0, 1, Buffer.from("x"))],
    ["a frame above the size limit", frame(0, 0, 1, Buffer.alloc(20_000))],
    ["a header block that is no HPACK", frame(1, 4, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]))],
    ["a window of zero increments", frame(8, 0, 0, Buffer.alloc(4))],
    ["settings with a wrong length", frame(4, 0, 0, Buffer.alloc(5))],
    [
      "an endless header block",
      Buffer.concat([
        frame(1, 0, 1, status("200")),
        ...Array.from({ length: 2000 }, () => frame(9, 0, 1, literal("x-a", "y"))),
      ]),
    ],
    [
      "a flood of ORIGIN frames and pings",
      Buffer.concat(
        Array.from({ length: 20_000 }, () => Buffer.concat([frame(12, 0, 0), frame(6, 0, 0, Buffer.alloc(8))])),
      ),
    ],
    ["no HTTP/2 at all", Buffer.from("HTTP/1.1 200 OK\r\n\r\n")],
  ];
  test.each(bad)("%s cost at most their own link", async (_what, bytes) => {
    const { gateway, victim } = await gatewayWithVictim();
    const carrier = await carrierOf(gateway, "hostile");
    carrier.resume();
    carrier.write(Buffer.concat([settings, bytes]));
    carrier.end();
    await gateway.when(() => gateway.closed.length === 1);
    expect(gateway.closed).toMatchObject([{ link: { id: { nodeId: "hostile" } } }]);
    expect(gateway.ready).toHaveLength(1);
    await isUnharmed(victim);
  });
});
