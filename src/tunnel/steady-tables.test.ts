import { connect, createServer, type Http2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { steadyTables } from "./steady-tables.ts";

test("steadyTables() finds the tables of this Node, and a session with it still answers and ends", async () => {
  const server = createServer();
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.respond({ ":status": 204 });
    stream.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  expect(steadyTables(session)).toBe(true);
  const status = await new Promise((resolve, reject) => {
    const stream = session.request({ ":path": "/" });
    stream.on("response", (headers) => resolve(headers[":status"]));
    stream.on("error", reject);
    stream.resume();
  });
  expect(status).toBe(204);
  const closed = new Promise((resolve) => session.once("close", resolve));
  session.destroy();
  await closed;
  await new Promise((resolve) => server.close(resolve));
});

test("steadyTables() leaves a session of another shape alone", () => {
  expect(steadyTables({} as Http2Session)).toBe(false);
});
