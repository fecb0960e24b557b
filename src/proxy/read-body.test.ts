import { once } from "node:events";
import { createServer, request as httpRequest, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ManualClock } from "../lib/clock.ts";
import { Turns } from "../lib/turns.ts";
import { BodyMemory } from "./body-memory.ts";
import { type HeldBody, readBody } from "./read-body.ts";
import { Sweeper } from "./sweeper.ts";

const LIMIT_BYTES = 8 * 1024 * 1024;
const BODY = Buffer.from(Array.from({ length: 1_000_000 }, (_, index) => index % 251));

let server: Server;
let memory: BodyMemory;

beforeEach(async () => {
  memory = new BodyMemory(LIMIT_BYTES);
  server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

/** Sends a body over a real connection. @returns What was read of it, and the chunks that it came in. */
async function read(headers: Record<string, string | number>): Promise<{ held: HeldBody; chunks: Buffer[] }> {
  const { port } = server.address() as AddressInfo;
  const asking = httpRequest({ port, host: "127.0.0.1", method: "POST", headers, agent: false });
  asking.on("error", () => {});
  asking.end(BODY);
  const [request] = (await once(server, "request")) as [IncomingMessage];
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  const length = request.headers["content-length"];
  const pace = { sweeper: new Sweeper(new ManualClock()), bytesPerSecond: 1, limitMs: 60_000 };
  const declared = length === undefined ? null : Number(length);
  return { held: await readBody(request, declared, LIMIT_BYTES, memory, new Turns(), pace), chunks };
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
