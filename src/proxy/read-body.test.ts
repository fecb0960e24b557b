import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { HttpRequest } from "../http1/request.ts";
import { HttpServer } from "../http1/server.ts";
import { ManualClock } from "../lib/clock.ts";
import { Turns } from "../lib/turns.ts";
import { BodyMemory } from "./body-memory.ts";
import { type HeldBody, readBody } from "./read-body.ts";
import { Sweeper } from "./sweeper.ts";

const LIMIT_BYTES = 8 * 1024 * 1024;
const BODY = Buffer.from(Array.from({ length: 1_000_000 }, (_, index) => index % 251));

let server: Server;
let http: HttpServer;
let memory: BodyMemory;
let onRequest: (request: HttpRequest) => void;

beforeEach(async () => {
  memory = new BodyMemory(LIMIT_BYTES);
  server = createServer({ allowHalfOpen: true });
  http = new HttpServer(server, {
    ...{ maxHeadBytes: 16_384, headMs: 15_000, bodyMs: 15_000, idleMs: 60_000, clock: new ManualClock() },
    onRequest: (request) => onRequest(request),
    onUpgrade: (_request, socket) => socket.destroy(),
    onFault() {},
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterEach(() => {
  http.closeAll();
  server.close();
});

/** Sends a body over a real connection. @returns What was read of it, and the chunks that it came in. */
function read(headers: Record<string, string | number>): Promise<{ held: HeldBody; chunks: Buffer[] }> {
  const { port } = server.address() as AddressInfo;
  const asking = httpRequest({ port, host: "127.0.0.1", method: "POST", headers, agent: false });
  asking.on("error", () => {});
  asking.end(BODY);
  const pace = { sweeper: new Sweeper(new ManualClock()), bytesPerSecond: 1, limitMs: 60_000 };
  const chunks: Buffer[] = [];
  return new Promise((resolve, reject) => {
    onRequest = (request) => {
      const give = request.deliver.bind(request);
      request.deliver = (chunk) => {
        chunks.push(chunk);
        give(chunk);
      };
      readBody(request, request.contentLength, LIMIT_BYTES, memory, new Turns(), pace).then(
        (held) => resolve({ held, chunks }),
        reject,
      );
    };
  });
}

test.each([
  ["of a known length", { "content-length": BODY.length }],
  ["in chunks", { "transfer-encoding": "chunked" }],
])("a body %s is read byte for byte, and its memory counts until it is released", async (_name, headers) => {
  const { held } = await read(headers);
  expect(held.bytes.equals(BODY)).toBe(true);
  expect(memory.usedBytes).toBe(BODY.length);
  held.release();
  expect(memory.usedBytes).toBe(0);
});

test("what a body of a known length came in is given back at once, not left to the collector", async () => {
  const { held, chunks } = await read({ "content-length": BODY.length });
  expect(chunks.length).toBeGreaterThan(10);
  const kept = chunks.reduce((bytes, { buffer }) => bytes + buffer.byteLength, 0);
  expect(kept).toBeLessThan(BODY.length / 4);
  expect(held.bytes).toHaveLength(BODY.length);
});
