import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { makeCertificate } from "../../test/support/certificate.ts";
import { ManualClock, systemClock } from "../lib/clock.ts";
import { reply, TestGateway } from "./__fixtures__/tunnel-pair.ts";
import type { AcceptorOptions } from "./accept.ts";
import { CONNECT_PATH, EXPORTER_BYTES, EXPORTER_LABEL } from "./constants.ts";
import { type DialOptions, dial, join } from "./dial.ts";
import { type Challenge, readChallenge, writeHeader } from "./handshake.ts";
import { Identity, signSuccessor } from "./identity.ts";
import { createInvitation, parseInvitation } from "./invitation.ts";
import { agentTranscript } from "./transcript.ts";

let certificate: { key: string; cert: string };
beforeAll(() => {
  certificate = makeCertificate();
});

const cleanups: Array<() => unknown> = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

async function listening(options: ConstructorParameters<typeof TestGateway>[0] = {}): Promise<TestGateway> {
  const gateway = await new TestGateway(options).listen();
  cleanups.push(() => gateway.stop());
  return gateway;
}

function dialOptions(gateway: TestGateway, change: Partial<DialOptions> = {}): DialOptions {
  return {
    url: gateway.url,
    gatewayFingerprint: gateway.identity.fingerprint,
    identity: Identity.create(),
    proxy: null,
    agentVersion: "0.0.0-test",
    tables: { operations: 1, fields: 1 },
    slot: 0,
    epoch: 1,
    attempt: 0,
    clock: systemClock,
    ...change,
  };
}

/** A handshake spoken by hand, so that each part of it can be wrong. Plain loopback. */
class HandMade {
  readonly gateway: TestGateway;
  readonly identity: Identity;
  readonly nonce = new Uint8Array(32).fill(7);

  constructor(gateway: TestGateway, identity: Identity) {
    this.gateway = gateway;
    this.identity = identity;
  }

  hello(change: object = {}): string {
    return writeHeader({
      nonce: this.nonce,
      connector: this.identity.fingerprint,
      slot: 0,
      epoch: 1,
      protocol: { min: 1, max: 1 },
      requires: [],
      offers: [],
      tables: { operations: 1, fields: 1 },
      name: this.gateway.url.host,
      transport: "plain",
      version: "x",
      attempt: 0,
      ...change,
    });
  }

  async challenge(hello = this.hello()): Promise<Challenge> {
    const { body } = await this.get({ "postern-hello": hello });
    return readChallenge(body)!;
  }

  signature(challenge: Challenge, hello = this.hello(), change: object = {}): Buffer {
    return this.identity.sign(
      agentTranscript({
        version: 1,
        name: this.gateway.url.host,
        agentNonce: this.nonce,
        gatewayNonce: challenge.nonce,
        gatewayPublicKey: challenge.publicKey,
        binding: challenge.binding,
        bindingValue: new Uint8Array(0),
        hello,
        ...change,
      }),
    );
  }

  get(headers: Record<string, string>): Promise<{ status: number; headers: IncomingMessage["headers"]; body: string }> {
    return new Promise((resolve, reject) => {
      const request = httpRequest({
        port: this.gateway.port,
        host: "127.0.0.1",
        path: CONNECT_PATH,
        headers,
        agent: false,
      });
      request.on("response", (response) => {
        let body = "";
        response.on("data", (chunk: Buffer) => {
          body += chunk.toString();
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
      });
      request.on("upgrade", (response, socket) => {
        cleanups.push(() => socket.destroy());
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: "" });
      });
      request.on("error", reject);
      request.end();
    });
  }

  upgrade(proof: object | string, token = "postern-link"): ReturnType<HandMade["get"]> {
    const text = typeof proof === "string" ? proof : `Postern ${writeHeader(proof)}`;
    return this.get({ connection: "Upgrade", upgrade: token, authorization: text });
  }
}

async function handMade(options: { approve?: boolean; acceptor?: Partial<AcceptorOptions> } = {}): Promise<HandMade> {
  const gateway = await listening({ acceptor: options.acceptor ?? {} });
  const identity = Identity.create();
  if (options.approve !== false) gateway.directory.approve(identity);
  return new HandMade(gateway, identity);
}

describe("a proof", () => {
  test("that holds is accepted: 101, and a link exists", async () => {
    const hand = await handMade();
    const challenge = await hand.challenge();
    const answer = await hand.upgrade({ nonce: challenge.nonce, signature: hand.signature(challenge) });
    expect(answer.status).toBe(101);
    expect(answer.headers["postern-accept"]).toBeDefined();
    expect(hand.gateway.links.all()).toHaveLength(1);
  });

  const wrong: Array<[string, (hand: HandMade, challenge: Challenge) => object | string]> = [
    ["no JSON", () => "Postern !!!!"],
    ["an empty one", () => "Postern "],
    ["another scheme", () => "Bearer pst_abc"],
    ["two parts", (hand, c) => `Postern ${writeHeader({ nonce: c.nonce, signature: hand.signature(c) })} x`],
    ["a foreign nonce", (hand, c) => ({ nonce: new Uint8Array(32), signature: hand.signature(c) })],
    ["a foreign key", (_hand, c) => ({ nonce: c.nonce, signature: Identity.create().sign(Buffer.from("x")) })],
    [
      "a signature for another name",
      (hand, c) => ({ nonce: c.nonce, signature: hand.signature(c, hand.hello(), { name: "other" }) }),
    ],
    [
      "a signature for another version",
      (hand, c) => ({ nonce: c.nonce, signature: hand.signature(c, hand.hello(), { version: 2 }) }),
    ],
    [
      "a signature for another hello",
      (hand, c) => ({ nonce: c.nonce, signature: hand.signature(c, hand.hello({ epoch: 99 })) }),
    ],
    [
      "a signature for another binding",
      (hand, c) => ({ nonce: c.nonce, signature: hand.signature(c, hand.hello(), { binding: "webpki" }) }),
    ],
    ["the gateway's own signature", (_hand, c) => ({ nonce: c.nonce, signature: c.signature })],
    [
      "an invitation in an upgrade",
      (hand, c) => ({
        nonce: c.nonce,
        signature: hand.signature(c),
        join: { id: "abcdefghijkl", secret: "A".repeat(43), publicKey: hand.identity.publicKey },
      }),
    ],
  ];
  test.each(wrong)("with %s gets 401 and no session", async (_what, make) => {
    const hand = await handMade();
    const answer = await hand.upgrade(make(hand, await hand.challenge()));
    expect(answer.status).toBe(401);
    expect(JSON.parse(answer.body)).toMatchObject({ code: "unauthorized" });
    expect(hand.gateway.links.all()).toEqual([]);
  });

  test("of an unknown connector gets the same 401 as a wrong signature", async () => {
    const unknown = await handMade({ approve: false });
    const challenge = await unknown.challenge();
    const one = await unknown.upgrade({ nonce: challenge.nonce, signature: unknown.signature(challenge) });
    const known = await handMade();
    const other = await known.upgrade({ nonce: (await known.challenge()).nonce, signature: new Uint8Array(64) });
    expect([one.status, one.body]).toEqual([other.status, other.body]);
  });

  test("replayed gets 401, whether the first use held or not", async () => {
    const hand = await handMade();
    const challenge = await hand.challenge();
    const proof = { nonce: challenge.nonce, signature: hand.signature(challenge) };
    expect((await hand.upgrade(proof)).status).toBe(101);
    expect((await hand.upgrade(proof)).status).toBe(401);
    const second = await hand.challenge();
    expect((await hand.upgrade({ nonce: second.nonce, signature: new Uint8Array(64) })).status).toBe(401);
    expect((await hand.upgrade({ nonce: second.nonce, signature: hand.signature(second) })).status).toBe(401);
  });

  test("after ten seconds gets 401", async () => {
    const clock = new ManualClock();
    const hand = await handMade({ acceptor: { clock } });
    const challenge = await hand.challenge();
    clock.advance(10_000);
    expect((await hand.upgrade({ nonce: challenge.nonce, signature: hand.signature(challenge) })).status).toBe(401);
  });

  test("with an epoch that was seen before is refused and told the floor", async () => {
    const hand = await handMade();
    const hello = hand.hello({ epoch: 5 });
    const first = await hand.challenge(hello);
    expect((await hand.upgrade({ nonce: first.nonce, signature: hand.signature(first, hello) })).status).toBe(101);
    const second = await hand.challenge(hello);
    const answer = await hand.upgrade({ nonce: second.nonce, signature: hand.signature(second, hello) });
    expect(answer.status).toBe(409);
    expect(JSON.parse(answer.body)).toMatchObject({ code: "stale_epoch", permanent: false, epochFloor: 5 });
  });

  test("with another upgrade token is refused", async () => {
    const hand = await handMade();
    const challenge = await hand.challenge();
    const answer = await hand.upgrade({ nonce: challenge.nonce, signature: hand.signature(challenge) }, "h2c");
    expect(answer.status).toBe(400);
  });

  test("on another TLS connection than its hello gets 401: the signature is tied to the first", async () => {
    const gateway = await listening({ tls: certificate });
    const identity = Identity.create();
    gateway.directory.approve(identity);
    const open = () =>
      new Promise<{ ask: (lines: string[]) => Promise<string>; exporter: Buffer }>((resolve) => {
        const socket = connectTls({ port: gateway.port, host: "127.0.0.1", rejectUnauthorized: false }, () =>
          resolve({
            exporter: socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, Buffer.alloc(0)),
            ask: (lines) =>
              new Promise((answer) => {
                socket.once("data", (data: Buffer) => answer(data.toString()));
                socket.write(
                  `GET ${CONNECT_PATH} HTTP/1.1\r\nHost: x\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`,
                );
              }),
          }),
        );
        cleanups.push(() => socket.destroy());
      });
    const hand = new HandMade(gateway, identity);
    const hello = hand.hello({ transport: "tls" });
    const [first, second] = [await open(), await open()];
    expect(first.exporter.equals(second.exporter)).toBe(false);
    for (const [target, status] of [
      [second, "401"],
      [first, "101"],
    ] as const) {
      const challenge = readChallenge((await first.ask([`Postern-Hello: ${hello}`])).split("\r\n\r\n")[1]!)!;
      expect(challenge.binding).toBe("exporter");
      const signature = hand.signature(challenge, hello, { bindingValue: first.exporter });
      const proof = writeHeader({ nonce: challenge.nonce, signature });
      const answer = await target.ask([
        "Connection: Upgrade",
        "Upgrade: postern-link",
        `Authorization: Postern ${proof}`,
      ]);
      expect(answer.split(" ")[1]).toBe(status);
    }
  });
});

describe("a hello", () => {
  test.each<[string, object, number, string]>([
    ["of a later protocol", { protocol: { min: 2, max: 3 } }, 426, "version_mismatch"],
    ["that requires an unknown capability", { requires: ["teleport-9"] }, 426, "capability_unknown"],
    ["that claims TLS on a plain connection", { transport: "tls" }, 403, "not_secure"],
    ["that breaks a bound", { slot: 9 }, 400, "bad_request"],
  ])("%s is refused for good, with the reason", async (_what, change, status, code) => {
    const hand = await handMade();
    const answer = await hand.get({ "postern-hello": hand.hello(change) });
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body)).toMatchObject({ code, permanent: true });
  });

  test("is answered the same whether the connector is known or not", async () => {
    const hand = await handMade({ approve: false });
    expect((await hand.get({ "postern-hello": hand.hello() })).status).toBe(200);
  });

  test("for a name that the gateway does not have is refused", async () => {
    const hand = await handMade({ acceptor: { servesName: (name) => name === "gateway.example" } });
    expect((await hand.get({ "postern-hello": hand.hello() })).status).toBe(400);
    expect((await hand.get({ "postern-hello": hand.hello({ name: "gateway.example" }) })).status).toBe(200);
  });

  test("is not needed for a 400: no header, an empty one, an endless one", async () => {
    const hand = await handMade();
    expect((await hand.get({})).status).toBe(400);
    expect((await hand.get({ "postern-hello": "x" })).status).toBe(400);
    expect((await hand.get({ "postern-hello": "A".repeat(5000) })).status).toBe(400);
  });

  test("from an address above its rate, or above the rate of all, is told when to come back", async () => {
    const clock = new ManualClock();
    const limits = { addressBurst: 3, addressPerSecond: 1, burst: 5, perSecond: 1 };
    let address = "192.0.2.1";
    const hand = await handMade({ acceptor: { clock, limits, addressOf: () => address } });
    const statuses = async (count: number) => {
      const all: number[] = [];
      for (let n = 0; n < count; n++) all.push((await hand.get({ "postern-hello": hand.hello() })).status);
      return all;
    };
    expect(await statuses(4)).toEqual([200, 200, 200, 429]);
    address = "192.0.2.2";
    expect(await statuses(3)).toEqual([200, 200, 503]);
    const refused = await hand.get({ "postern-hello": hand.hello() });
    expect(Number(refused.headers["retry-after"])).toBeGreaterThanOrEqual(1);
    expect(JSON.parse(refused.body)).toMatchObject({ permanent: false });
    clock.advance(5000);
    expect(await statuses(1)).toEqual([200]);
  });

  test("counts a whole IPv6 /64 as one address, and every IPv4 address for itself", async () => {
    const limits = { addressBurst: 1, addressPerSecond: 0 };
    const addresses = [
      "2001:db8:1:2::1",
      "2001:db8:1:2:ffff::2",
      "2001:db8:1:3::1",
      "2001:db8::",
      "::1",
      "192.0.2.1",
      "192.0.2.2",
      "::ffff:192.0.2.3",
      "::ffff:192.0.2.4",
    ];
    const hand = await handMade({
      acceptor: { clock: new ManualClock(), limits, addressOf: () => addresses.shift()! },
    });
    const statuses: number[] = [];
    while (addresses.length > 0) statuses.push((await hand.get({ "postern-hello": hand.hello() })).status);
    expect(statuses).toEqual([200, 429, 200, 200, 200, 200, 200, 200, 200]);
  });

  test("beyond the bound on open challenges is refused until they expire", async () => {
    const clock = new ManualClock();
    const limits = { pending: 2, burst: 100, perSecond: 100, addressBurst: 100, addressPerSecond: 100 };
    const hand = await handMade({ acceptor: { clock, limits } });
    const ask = async () => (await hand.get({ "postern-hello": hand.hello() })).status;
    expect([await ask(), await ask(), await ask()]).toEqual([200, 200, 503]);
    expect(hand.gateway.acceptor.stats().pending).toBe(2);
    clock.advance(10_000);
    expect(await ask()).toBe(200);
  });

  test("while the gateway goes down is refused and told to come back", async () => {
    const hand = await handMade();
    hand.gateway.acceptor.stop();
    const answer = await hand.get({ "postern-hello": hand.hello() });
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.body)).toMatchObject({ code: "shutting_down", permanent: false });
  });
});

describe("garbage on the connection", () => {
  test("right after the upgrade costs only that link", async () => {
    const hand = await handMade();
    const challenge = await hand.challenge();
    const proof = writeHeader({ nonce: challenge.nonce, signature: hand.signature(challenge) });
    const socket = await rawSocket(hand.gateway);
    socket.write(
      `GET ${CONNECT_PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: postern-link\r\nAuthorization: Postern ${proof}\r\n\r\n${"garbage".repeat(1000)}`,
    );
    await hand.gateway.when(() => hand.gateway.closed.length === 1);
    expect(hand.gateway.closed[0]).toMatchObject({ reason: "protocol" });
    expect((await hand.get({ "postern-hello": hand.hello() })).status).toBe(200);
  });

  test("a socket that closes in the middle of the upgrade leaves nothing running", async () => {
    const hand = await handMade();
    const challenge = await hand.challenge();
    const proof = writeHeader({ nonce: challenge.nonce, signature: hand.signature(challenge) });
    const socket = await rawSocket(hand.gateway);
    socket.write(
      `GET ${CONNECT_PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: postern-link\r\nAuthorization: Postern ${proof}\r\n\r\n`,
    );
    socket.resetAndDestroy();
    await expect.poll(() => hand.gateway.sockets.size).toBe(0);
    expect(hand.gateway.acceptor.stats().running).toBe(0);
    expect(hand.gateway.links.all()).toEqual([]);
  });
});

describe("dial()", () => {
  test("over TLS trusts the identity, not the certificate", async () => {
    const gateway = await listening({ tls: certificate });
    const options = dialOptions(gateway);
    gateway.directory.approve(options.identity);
    const result = await dial(options, "direct");
    expect(result).toMatchObject({ ok: true, value: { acceptance: { node: { name: "forge" }, version: 1 } } });
    if (result.ok) cleanups.push(() => result.value.carrier.destroy());
  });

  test("refuses a gateway with another identity, before it says who it is", async () => {
    const gateway = await listening({ tls: certificate });
    const options = dialOptions(gateway, { gatewayFingerprint: Identity.create().fingerprint });
    const result = await dial(options, "direct");
    expect(result).toMatchObject({ ok: false, failure: { permanent: false, error: { code: "gateway_not_trusted" } } });
    expect(gateway.acceptor.stats().pending).toBe(1);
  });

  test("refuses someone in between who opens TLS, although the identity is the right one", async () => {
    const gateway = await listening({ tls: certificate });
    const interceptor = await listening({ tls: makeCertificate() });
    // The interceptor passes the agent's hello on to the real gateway and the challenge back.
    interceptor.onRequest = (request, response) => {
      const onward = connectTls({ port: gateway.port, host: "127.0.0.1", rejectUnauthorized: false }, () => {
        const hello = request.header("postern-hello");
        onward.write(`GET ${CONNECT_PATH} HTTP/1.1\r\nHost: x\r\nPostern-Hello: ${hello}\r\nConnection: close\r\n\r\n`);
      });
      let text = "";
      onward.on("data", (chunk: Buffer) => {
        text += chunk.toString();
      });
      onward.on("end", () => reply(response, 200, text.split("\r\n\r\n")[1] ?? ""));
    };
    const options = dialOptions(interceptor, { gatewayFingerprint: gateway.identity.fingerprint });
    gateway.directory.approve(options.identity);
    const result = await dial(options, "direct");
    expect(result).toMatchObject({ ok: false, failure: { error: { code: "gateway_not_trusted" } } });
    if (!result.ok) expect(result.failure.error.message).toContain("signature");
  });

  test("behind a declared proxy insists on a valid certificate, with `ca` one of its own", async () => {
    const gateway = await listening({ tls: certificate, acceptor: { isBehindProxy: () => true } });
    const options = dialOptions(gateway);
    gateway.directory.approve(options.identity);
    const refused = await dial(options, "direct");
    expect(refused).toMatchObject({ ok: false, failure: { error: { code: "gateway_not_trusted" } } });
    const result = await dial({ ...options, ca: certificate.cert }, "direct");
    expect(result.ok).toBe(true);
    if (result.ok) cleanups.push(() => result.value.carrier.destroy());
  });

  test("follows a rotated identity and tells the new fingerprint", async () => {
    const old = Identity.create();
    const present = Identity.create();
    const chain = [signSuccessor(old, present.publicKey)];
    const gateway = await listening({ identity: present, acceptor: { chain } });
    const options = dialOptions(gateway, { gatewayFingerprint: old.fingerprint });
    gateway.directory.approve(options.identity);
    const result = await dial(options, "direct");
    expect(result).toMatchObject({ ok: true, value: { gatewayFingerprint: present.fingerprint } });
    if (result.ok) cleanups.push(() => result.value.carrier.destroy());
  });

  test("is told 401 in plain words when the connector is not known", async () => {
    const gateway = await listening();
    expect(await dial(dialOptions(gateway), "direct")).toMatchObject({
      ok: false,
      failure: { stage: "upgrade", permanent: false, error: { code: "connector_refused" } },
    });
  });

  test("does not believe a refusal for good from someone who has not proved who it is", async () => {
    const gateway = await listening({ tls: certificate });
    const told = { code: "version_mismatch", message: "m", permanent: true, retryAfterSeconds: 0 };
    gateway.onRequest = (_request, response) => reply(response, 426, JSON.stringify(told));
    const refused = await dial(dialOptions(gateway), "direct");
    expect(refused).toMatchObject({ ok: false, failure: { permanent: false, error: { code: "version_mismatch" } } });
    const verified = await dial(dialOptions(gateway, { ca: certificate.cert }), "direct");
    expect(verified).toMatchObject({ ok: false, failure: { permanent: true } });
  });

  test.each<[string, string]>([
    ["a web page", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"],
    ["an endless body", `HTTP/1.1 200 OK\r\n\r\n${"x".repeat(20_000)}`],
    ["an endless head", `HTTP/1.1 200 OK\r\n${"X-A: b\r\n".repeat(5000)}`],
    ["something else", "SSH-2.0-OpenSSH_9.2\r\n"],
  ])("gives up on %s", async (_what, text) => {
    const gateway = await listening();
    gateway.server.removeAllListeners("connection");
    gateway.server.on("connection", (socket: Socket) => {
      gateway.sockets.add(socket);
      socket.on("error", () => {});
      socket.end(text);
    });
    const result = await dial(dialOptions(gateway), "direct");
    expect(result).toMatchObject({ ok: false, failure: { permanent: false, error: { code: "gateway_unreachable" } } });
  });

  test("gives up on silence after its limit, and leaves no socket", async () => {
    const clock = new ManualClock();
    const gateway = await listening();
    const asked = new Promise<void>((resolve) => {
      gateway.onRequest = () => resolve();
    });
    const result = dial(dialOptions(gateway, { clock, timeoutMs: 1000 }), "direct");
    await asked;
    clock.advance(1000);
    expect(await result).toMatchObject({ ok: false, failure: { error: { code: "gateway_unreachable" } } });
    await expect.poll(() => gateway.sockets.size).toBe(0);
    expect(clock.pendingTimers).toBe(0);
  });

  test("stops when it is aborted", async () => {
    const gateway = await listening();
    const abort = new AbortController();
    gateway.onRequest = () => abort.abort();
    const result = await dial(dialOptions(gateway, { signal: abort.signal }), "direct");
    expect(result).toMatchObject({ ok: false, failure: { stage: "aborted" } });
  });
});

describe("join()", () => {
  function invite(gateway: TestGateway, uses = 1): string {
    const made = createInvitation(gateway.identity.fingerprint);
    gateway.directory.invitations.set(made.id, {
      hash: made.hash,
      node: { nodeId: "n9", nodeName: "anvil" },
      usesLeft: uses,
    });
    return made.code.reveal();
  }

  test("uses the invitation up, once, and the connector may dial", async () => {
    const gateway = await listening({ tls: certificate });
    const invitation = parseInvitation(invite(gateway))!;
    const options = dialOptions(gateway);
    const joined = await join(options, invitation);
    expect(joined).toMatchObject({ ok: true, value: { acceptance: { node: { id: "n9", name: "anvil" } } } });
    const dialled = await dial(options, "direct");
    expect(dialled.ok).toBe(true);
    if (dialled.ok) cleanups.push(() => dialled.value.carrier.destroy());
    const other = await join(dialOptions(gateway), invitation);
    expect(other).toMatchObject({ ok: false, failure: { permanent: true, error: { code: "invitation_refused" } } });
  });

  test("again with the same key, after a lost answer, is fine", async () => {
    const gateway = await listening();
    const invitation = parseInvitation(invite(gateway))!;
    const options = dialOptions(gateway);
    expect((await join(options, invitation)).ok).toBe(true);
    expect((await join(options, invitation)).ok).toBe(true);
    expect(gateway.directory.connectors.size).toBe(1);
  });

  test("with a wrong secret is refused and uses nothing up", async () => {
    const gateway = await listening();
    const code = invite(gateway);
    const wrong = `${code.slice(0, 18)}${"A".repeat(43)}${code.slice(61)}`;
    const result = await join(dialOptions(gateway), parseInvitation(wrong)!);
    expect(result).toMatchObject({ ok: false, failure: { error: { code: "invitation_refused" } } });
    expect((await join(dialOptions(gateway), parseInvitation(code)!)).ok).toBe(true);
  });

  test("never sends the secret to a gateway that is not the one in the invitation", async () => {
    const gateway = await listening({ tls: certificate });
    const stranger = await listening({ tls: certificate });
    const authorizations: unknown[] = [];
    const { onRequest } = stranger;
    stranger.onRequest = (request, response) => {
      authorizations.push(request.header("authorization"));
      onRequest(request, response);
    };
    const result = await join(dialOptions(stranger), parseInvitation(invite(gateway))!);
    expect(result).toMatchObject({ ok: false, failure: { error: { code: "gateway_not_trusted" } } });
    expect(authorizations).toEqual([undefined]);
  });

  test("is told to try again when the gateway cannot check the invitation now", async () => {
    const gateway = await listening();
    const invitation = parseInvitation(invite(gateway))!;
    gateway.directory.redeem = () => Promise.reject(new Error("the store is away"));
    const result = await join(dialOptions(gateway), invitation);
    expect(result).toMatchObject({ ok: false, failure: { permanent: false, retryAfterMs: 5000 } });
    expect(gateway.acceptor.stats().running).toBe(0);
  });
});

function rawSocket(gateway: TestGateway): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect(gateway.port, "127.0.0.1", () => resolve(socket));
    socket.on("error", () => {});
    cleanups.push(() => socket.destroy());
  });
}
