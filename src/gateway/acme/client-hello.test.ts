import { connect, createServer } from "node:net";
import { connect as connectTls } from "node:tls";
import fc from "fast-check";
import { expect, it } from "vitest";
import { readClientHello } from "./client-hello.ts";

/** The first flight that Node's own TLS client sends. */
function firstFlight(servername: string, ALPNProtocols: string[]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.once("data", (bytes: Buffer) => {
        resolve(bytes);
        socket.destroy();
        server.close();
      });
    });
    server.on("error", reject).listen(0, "127.0.0.1", () => {
      const address = server.address();
      const socket = connect(typeof address === "object" ? (address?.port ?? 0) : 0, "127.0.0.1");
      connectTls({ socket, servername, ALPNProtocols }).on("error", () => {});
    });
  });
}

it("readClientHello() reads SNI and ALPN of a real client, however the bytes are cut", async () => {
  const bytes = await firstFlight("AI.example.org", ["acme-tls/1", "http/1.1"]);
  const wanted = { serverName: "ai.example.org", protocols: ["acme-tls/1", "http/1.1"] };
  for (let cut = 0; cut < bytes.length; cut++) expect(readClientHello(bytes.subarray(0, cut))).toBe("more");
  expect(readClientHello(bytes)).toEqual(wanted);
  expect(readClientHello(Buffer.concat([bytes, Buffer.from("what follows")]))).toEqual(wanted);
});

it("readClientHello() takes no other bytes for one, and does not throw", () => {
  expect(readClientHello(Buffer.from("GET / HTTP/1.1\r\n"))).toBeNull();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
      const framed = Buffer.concat([Buffer.from([22, 3, 1, noise.length >> 8, noise.length & 255]), noise]);
      const read = readClientHello(framed);
      expect(read === null || typeof read === "object").toBe(true);
    }),
  );
});
