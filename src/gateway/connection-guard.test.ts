import { once } from "node:events";
import { type AddressInfo, connect, type Server, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import { makeCertificate } from "../../test/support/certificate.ts";
import { ManualClock } from "../lib/clock.ts";
import { ConnectionGuard } from "./connection-guard.ts";
import { type PublicListener, startPublicListener } from "./public-listener.ts";

const own = makeCertificate();
const BIG = Buffer.alloc(16 * 1024 * 1024, "x");
let listener: PublicListener;
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  listener.http.closeAll();
  await new Promise((resolve) => listener.server.close(resolve));
});

async function start(maxPerAddress: number, isTls = false) {
  const clock = new ManualClock();
  const cuts: string[] = [];
  const guard = new ConnectionGuard({
    clock,
    maxPerAddress,
    isExempt: (address) => address === "127.0.0.9",
    slowReader: { graceMs: 60_000, bytesPerSecond: 1024 * 1024 },
    onCut: (reason) => cuts.push(reason),
  });
  listener = await startPublicListener({
    listen: { host: "127.0.0.1", port: 0 },
    tls: isTls ? { ...own, minVersion: "TLSv1.3", ciphers: "TLS_AES_128_GCM_SHA256" } : null,
    maxConnections: 100,
    maxHeadBytes: 16_384,
    requestHeadMs: 15_000,
    requestBodyMs: 15_000,
    idleMs: 60 * 60_000,
    clock,
    guard,
    onRequest: (request, response) => {
      const body = request.url === "/big" ? BIG : Buffer.from("ok");
      response.writeHead(200, ["Content-Length", String(body.length)]).end(body);
    },
    onUpgrade: (_request, socket) => socket.destroy(),
    onCut: (reason) => cuts.push(reason),
  });
  const { port } = listener.server.address() as AddressInfo;
  return { clock, cuts, port };
}

function open(port: number, localAddress = "127.0.0.1"): Socket {
  const socket = connect({ port, host: "127.0.0.1", localAddress });
  socket.on("error", () => {});
  sockets.push(socket);
  return socket;
}

/** Whether the server answers on the connection. */
async function isServed(socket: Socket): Promise<boolean> {
  socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  return Promise.race([once(socket, "data").then(() => true), once(socket, "close").then(() => false)]);
}

describe("ConnectionGuard", () => {
  it("lets one address have so many connections and no more, and counts those that are gone no longer", async () => {
    const { cuts, port } = await start(2);
    const [first, second] = [open(port), open(port)];
    expect(await Promise.all([isServed(first), isServed(second)])).toEqual([true, true]);
    expect(await isServed(open(port))).toBe(false);
    expect(cuts).toEqual(["connections_per_address"]);
    expect(await isServed(open(port, "127.0.0.2"))).toBe(true);
    first.destroy();
    while ((await countOf(listener.server)) > 2) await new Promise((resolve) => setImmediate(resolve));
    expect(await isServed(open(port))).toBe(true);
  });

  it("counts before TLS, so that handshakes are bounded too, and not for those that stand for many", async () => {
    const { cuts, port } = await start(1, true);
    const shake = (localAddress: string) =>
      new Promise<boolean>((resolve) => {
        const to = { port, host: "127.0.0.1", localAddress, ca: own.cert, servername: "localhost" };
        const socket = connectTls(to, () => resolve(true));
        socket.on("error", () => resolve(false));
        sockets.push(socket);
      });
    expect(await shake("127.0.0.1")).toBe(true);
    expect(await shake("127.0.0.1")).toBe(false);
    expect(cuts).toEqual(["connections_per_address"]);
    expect([await shake("127.0.0.9"), await shake("127.0.0.9")]).toEqual([true, true]);
  });

  it.each([false, true])(
    "cuts who does not take the answer, after the grace and a time for its size (TLS: %s)",
    async (isTls) => {
      const { clock, cuts, port } = await start(10, isTls);
      const socket = isTls
        ? connectTls({ port, host: "127.0.0.1", ca: own.cert, servername: "localhost" })
        : open(port);
      socket.on("error", () => {});
      sockets.push(socket);
      const closed = once(socket, "close");
      socket.write("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
      await once(socket, "readable");
      socket.pause();
      clock.advance(60_000);
      expect(cuts).toEqual([]);
      clock.advance(30_000);
      expect(cuts).toEqual(["slow_reader"]);
      socket.resume();
      await closed;
    },
  );

  it("leaves alone who takes everything, and who waits idle", async () => {
    const { clock, cuts, port } = await start(10);
    const socket = open(port);
    let bytes = 0;
    socket.on("data", (chunk) => {
      bytes += chunk.length;
    });
    socket.write("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
    while (bytes < BIG.length) await once(socket, "data");
    clock.advance(10 * 60_000);
    expect(cuts).toEqual([]);
    expect(await isServed(socket)).toBe(true);
  });
});

function countOf(one: Server): Promise<number> {
  return new Promise((resolve) => one.getConnections((_error, count) => resolve(count)));
}
