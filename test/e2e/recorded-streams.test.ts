import { setImmediate as turn } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { OPERATIONS } from "../../src/dialects/operations.ts";
import {
  answer,
  answerFrom,
  type FakeEngine,
  type FakeRequest,
  startFakeEngine,
} from "../../src/engines/__fixtures__/fake-engine.ts";
import { nativeOperations } from "../../src/engines/native-operations.ts";
import {
  cutAtRandom,
  type RecordedStream,
  readRecords,
  recordedIdentity,
  recordedStreams,
  type StreamRecord,
  usageIn,
} from "../support/recorded-streams.ts";
import { startWholePath, type WholePath } from "../support/whole-path.ts";

/**
 * Streams of real servers, replayed as the engine and cut anywhere, through agent, tunnel and gateway: what arrives is what was
 * recorded, record for record, and the ledger has the transcript's own usage.
 */
const SEED = 20_261_120;
/** Longest pieces. One byte at a time for short streams only: each byte is a frame of the tunnel. */
const CUTS = [1, 9, 64, 1500];
const MAX_BYTEWISE = 3000;

describe.each(["ollama", "llama-server"] as const)("%s", (kind) => {
  let engine: FakeEngine;
  let path: WholePath;
  const model = kind === "ollama" ? "postern-demo" : "postern-demo-r1";
  let replay: { stream: RecordedStream; pieces: Buffer[] };
  const native = nativeOperations({ kind, version: kind === "ollama" ? "0.17.4" : "b11549" });
  const streams = recordedStreams().filter((one) => one.kind === kind && native.includes(operationAt(one.path)));

  beforeAll(async () => {
    const lists = answerFrom(recordedIdentity(kind));
    engine = await startFakeEngine((request) => {
      if (request.method === "GET") lists(request);
      else if (request.path !== replay.stream.path) answer(500, "text/plain", "asked at the wrong path")(request);
      else void play(request);
    });
    const address = { url: engine.url.origin, apiKey: null, host: null, caFile: null, serverName: null };
    const started = await startWholePath({
      agent: { engines: [{ ...address, name: kind, kind: null, exposureAccepted: false }] },
    });
    if (started === null) throw new Error("nothing to start was wanted");
    path = started;
    await path.untilServed(model);
  });
  afterAll(async () => {
    await path?.close();
    await engine?.close();
  });

  async function play({ socket }: FakeRequest): Promise<void> {
    const { stream, pieces } = replay;
    const type = `Content-Type: ${stream.contentType}`;
    socket.write(`HTTP/1.1 200 OK\r\n${type}\r\nTransfer-Encoding: chunked\r\n\r\n`);
    for (const piece of pieces) {
      socket.write(Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n")]));
      await turn();
    }
    socket.write("0\r\n\r\n");
  }

  async function ask(request: Record<string, unknown>): Promise<{ id: string; records: StreamRecord[] }> {
    const answered = await fetch(path.origin + replay.stream.path, {
      method: "POST",
      headers: { authorization: `Bearer ${path.key}`, "content-type": "application/json" },
      body: JSON.stringify({ ...request, model }),
    });
    const text = await answered.text();
    expect(answered.status, text).toBe(200);
    const id = answered.headers.get("x-request-id") ?? "";
    return { id, records: readRecords(replay.stream.contentType, text) };
  }

  it.each(streams)("$title", async (stream) => {
    const recorded = readRecords(stream.contentType, stream.body.toString("utf8"));
    const usage = usageIn(stream.path, recorded);
    for (const most of CUTS) {
      if (most === 1 && stream.body.length > MAX_BYTEWISE) continue;
      replay = { stream, pieces: cutAtRandom(stream.body, most, SEED + most) };
      const { id, records } = await ask(stream.request);
      expect(records, `cut into at most ${most} bytes`).toEqual(recorded);
      const record = await path.record(id);
      expect(record).toMatchObject({ outcome: "ok", isStream: true });
      if (usage !== null) expect(record).toMatchObject({ ...usage, isEstimated: false });
    }
  });

  it.each(streams.filter(({ request }) => request["stream_options"] !== undefined))(
    "$title: usage that nobody asked for is metered and not shown",
    async (stream) => {
      const recorded = readRecords(stream.contentType, stream.body.toString("utf8"));
      replay = { stream, pieces: cutAtRandom(stream.body, 64, SEED) };
      const { stream_options: _asked, ...request } = stream.request;
      const { id, records } = await ask(request);
      expect(records).toEqual(recorded.filter(({ data }) => !data.includes('"choices":[]')));
      expect(await path.record(id)).toMatchObject({ ...usageIn(stream.path, recorded), isEstimated: false });
    },
  );
});

function operationAt(path: string): string {
  return OPERATIONS.find((operation) => operation.method === "POST" && operation.path === path)?.id ?? path;
}
