import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { type DataPlane, type DataPlaneOptions, startDataPlane } from "../../test/support/data-plane.ts";
import {
  eachReplaced,
  misfits,
  ODD_NUMBERS,
  POISON,
  RICH_BODIES,
  unreadableBodies,
} from "../../test/support/hostile-bodies.ts";
import type { PlayedTarget } from "../../test/support/played-target.ts";
import { RawConnection } from "../../test/support/raw-connection.ts";
import { operationById } from "../dialects/operations.ts";
import { MAX_TRANSLATED_WORK } from "./prepare-attempt.ts";

// Whatever stands in a body: a refusal that the caller understands, or an engine that is asked for it. Never a 5xx of ours,
// never an end of the process (Vitest fails on what nobody caught), and nothing goes out of what was refused.

let plane: DataPlane;
let target: PlayedTarget;

/** A gateway with one target that offers the operations and answers every request with an error of its own. */
async function start(operations: readonly string[], options: DataPlaneOptions = {}): Promise<void> {
  plane = await startDataPlane({ optedIn: ["openai.rerank"], ...options });
  [target] = plane.serve("m", "forge") as [PlayedTarget];
  target.operations = new Set(operations);
  const played = target.start.bind(target);
  target.start = (request, handler) => {
    const attempt = played(request, handler);
    setImmediate(() => target.attempts.at(-1)?.answer(422, { error: { message: "from the engine" } }));
    return attempt;
  };
}
afterEach(() => plane.close());

function post(id: string, body: string | Buffer, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`http://127.0.0.1:${plane.port}${operationById(id)?.path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${plane.key}`, ...headers },
    body: typeof body === "string" ? body : new Uint8Array(body),
  });
}

const IDS = Object.keys(RICH_BODIES);
/** Engines of other dialects, for those who can be translated. */
const OTHERS: Readonly<Record<string, readonly string[]>> = {
  "openai.chat": ["anthropic.messages", "ollama.chat"],
  "openai.embeddings": ["ollama.embed", "ollama.embeddings"],
  "openai.responses": ["openai.chat", "anthropic.messages", "ollama.chat"],
  "anthropic.messages": ["openai.chat", "ollama.chat"],
  "anthropic.count_tokens": ["openai.chat"],
  "ollama.chat": ["openai.chat", "anthropic.messages"],
  "ollama.generate": ["openai.chat", "anthropic.messages"],
  "ollama.embed": ["openai.embeddings", "ollama.embeddings"],
  "ollama.embeddings": ["openai.embeddings", "ollama.embed"],
};
/** A body with this number, in a place where policy does not read it. */
const NUMBERED: Readonly<Record<string, (number: string) => string>> = {
  "openai.chat": (number) => `{"model":"m","messages":[{"role":"user","content":"x"}],"seed":${number},"stream":false}`,
  "openai.completions": (number) => `{"model":"m","prompt":"x","temperature": ${number} }`,
  "openai.embeddings": (number) => `{"model":"m","input":[[1,${number}]],"dimensions":${number}}`,
  "openai.rerank": (number) => `{"model":"m","query":"q","documents":["d"],"top_n":${number}}`,
  "openai.responses": (number) => `{"model":"m","input":"x","top_p":${number},"store":false}`,
  "anthropic.messages": (number) =>
    `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"x"}],"top_k":${number}}`,
  "anthropic.count_tokens": (number) =>
    `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"x","n":${number}}]}]}`,
  "ollama.chat": (number) =>
    `{"model":"m","messages":[{"role":"user","content":"x"}],"options":{"seed":${number}},"stream":false}`,
  "ollama.generate": (number) => `{"model":"m","prompt":"x","options":{"top_p":${number}},"stream":false}`,
  "ollama.embed": (number) => `{"model":"m","input":"x","dimensions":${number}}`,
  "ollama.embeddings": (number) => `{"model":"m","prompt":"x","options":{"seed":${number}}}`,
};
/** Every operation with a target of its own dialect, and with one that needs a translation. */
const WAYS = IDS.flatMap((id) => [
  { id, operations: [id] },
  ...(OTHERS[id] ?? []).map((other) => ({ id, operations: [other] })),
]);

describe.each(IDS)("a body of %s", (id) => {
  const valid = RICH_BODIES[id] ?? {};

  it("that is sound reaches the engine", async () => {
    await start([id]);
    const response = await post(id, JSON.stringify(valid));
    expect([response.status, await response.text()]).toEqual([422, expect.stringContaining("from the engine")]);
  });

  it("that nobody may read is refused, with nothing sent", async () => {
    await start([id]);
    for (const [name, bytes] of unreadableBodies(valid)) {
      const response = await post(id, bytes);
      const text = await response.text();
      expect([name, response.status, text]).toEqual([name, expect.toSatisfy(isRefusal), text]);
      expect([name, target.attempts.length, plane.opened.length, plane.pipeline.running]).toEqual([name, 0, 0, 0]);
    }
  }, 240_000);

  it("with members of every object's parent changes nothing but itself", async () => {
    await start([id]);
    const response = await post(id, `${JSON.stringify(valid).slice(0, -1)},${POISON}}`);
    expect([200, 400, 422]).toContain(response.status);
    expect(Object.hasOwn(Object.prototype, "isPoisoned")).toBe(false);
    expect(({} as Record<string, unknown>)["isPoisoned"]).toBeUndefined();
    for (const { request } of target.attempts) expect(String(request.body)).not.toContain("isPoisoned");
  });

  it("brings its numbers to an engine of its dialect as they are written", async () => {
    await start([id]);
    for (const number of ODD_NUMBERS) {
      const text = NUMBERED[id]?.(number) ?? "";
      const response = await post(id, text);
      expect([number, response.status]).toEqual([number, 422]);
      const sent = String(target.attempts.at(-1)?.request.body);
      expect(sent).toBe(text);
    }
  });

  it("is read under a cap when it comes compressed, and refused when there is more behind it", async () => {
    await start([id]);
    const text = JSON.stringify(valid);
    const codings = { gzip: gzipSync, zstd: zstdCompressSync };
    for (const [coding, compress] of Object.entries(codings)) {
      const headers = { "content-encoding": coding };
      const packed = compress(text);
      expect((await post(id, packed, headers)).status).toBe(422);
      expect((await post(id, packed.subarray(0, -3), headers)).status).toBe(415);
      const twice = await post(id, Buffer.concat([packed, packed]), headers);
      expect(twice.status).toSatisfy(isRefusal);
      const bomb = await post(id, compress(Buffer.alloc(40 * 1024 * 1024, 0x20)), headers);
      expect([bomb.status, bomb.headers.get("x-postern-error")]).toEqual([413, "body_too_large"]);
    }
    expect(target.attempts).toHaveLength(2);
  });
});

describe.each(WAYS)("a body of $id for a target of $operations", ({ id, operations }) => {
  const valid = RICH_BODIES[id] ?? {};

  it("gets an answer wherever a value is null", async () => {
    await start(operations);
    for (const text of eachReplaced(valid, "null")) await expectAnswer(id, text);
  });

  it("gets an answer whatever stands where", async () => {
    await start(operations);
    await fc.assert(
      fc.asyncProperty(misfits(valid), (text) => expectAnswer(id, text)),
      { numRuns: 60 },
    );
    expect(plane.pipeline.running).toBe(0);
    expect(target.inFlight).toBe(0);
  });
});

async function expectAnswer(id: string, text: string): Promise<void> {
  const before = target.attempts.length;
  const response = await post(id, text);
  const body = await response.text();
  expect([text, response.status, body]).toEqual([text, expect.toSatisfy((status: number) => status < 500), body]);
  expect(() => JSON.parse(body)).not.toThrow();
  const wasRefused = response.headers.get("x-postern-error") !== null;
  expect([text, target.attempts.length - before]).toEqual([text, wasRefused || response.status === 200 ? 0 : 1]);
}

function isRefusal(status: number): boolean {
  return status === 400 || status === 404 || status === 413 || status === 415;
}

it("a number that is none in a double is refused where it has to be translated", async () => {
  await start(["ollama.chat"]);
  const response = await post(
    "openai.chat",
    '{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":1e400}',
  );
  expect([response.status, response.headers.get("x-postern-error")]).toEqual([400, "body_invalid"]);
});

it("what would take long to translate is refused, and goes to a target that needs no translation", async () => {
  await start(["anthropic.messages"]);
  const bodies = {
    text: `{"model":"m","messages":[{"role":"user","content":"${"x".repeat(MAX_TRANSLATED_WORK)}"}]}`,
    escapes: `{"model":"m","messages":[{"role":"user","content":"${"\\n".repeat(MAX_TRANSLATED_WORK / 4)}"}]}`,
    values: `{"model":"m","messages":[{"role":"user","content":[${Array.from({ length: 32_768 }, () => '{"type":"text","text":"x"}').join(",")}]}]}`,
  };
  for (const [name, body] of Object.entries(bodies)) {
    const response = await post("openai.chat", body);
    expect([name, response.status, response.headers.get("x-postern-error")]).toEqual([name, 413, "body_too_large"]);
  }
  target.operations = new Set(["openai.chat"]);
  for (const body of Object.values(bodies)) expect((await post("openai.chat", body)).status).toBe(422);
});

describe("a body that never ends", () => {
  const MIB = 1024 * 1024;

  async function pour(headers: string, limitBytes: number): Promise<{ caller: RawConnection; sentBytes: number }> {
    const caller = new RawConnection(
      plane.port,
      `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`,
    );
    const payload = Buffer.alloc(64 * 1024, 0x20);
    const chunk = Buffer.concat([Buffer.from("10000\r\n"), payload, Buffer.from("\r\n")]);
    let sentBytes = 0;
    while (sentBytes < limitBytes && !caller.isClosed && caller.status === 0) {
      const isTaken = caller.socket.write(chunk);
      sentBytes += payload.length;
      if (!isTaken) await drained(caller);
    }
    return { caller, sentBytes };
  }

  it("of a gigabyte is cut at the limit, with no more than the limit held", async () => {
    await start(["openai.chat"], { limits: { bodyBytes: 8 * MIB } });
    const before = process.memoryUsage().arrayBuffers;
    const { caller, sentBytes } = await pour(
      `Authorization: Bearer ${plane.key}\r\nTransfer-Encoding: chunked\r\n`,
      1024 * MIB,
    );
    await caller.until("}}");
    expect(caller.text).toContain("x-postern-error: body_too_large");
    expect(caller.status).toBe(413);
    // What lies in the buffers of the two sockets on the way was sent, but never read.
    expect(sentBytes).toBeLessThan(40 * MIB);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(40 * MIB);
    expect(target.attempts).toHaveLength(0);
    expect(plane.pipeline.running).toBe(0);
    caller.socket.destroy();
  });

  it("is answered all the same when its caller reads only afterwards, as most do", async () => {
    await start(["openai.chat"], { limits: { bodyBytes: MIB } });
    for (const id of ["openai.chat", "anthropic.messages"]) {
      const response = await post(id, Buffer.alloc(40 * MIB, 0x20));
      expect([response.status, response.headers.get("x-postern-error")]).toEqual([413, "body_too_large"]);
      const stranger = await post(id, Buffer.alloc(40 * MIB, 0x20), { authorization: "Bearer no" });
      expect(stranger.status).toBe(401);
    }
  });

  it("is dropped only so far, and then its connection", async () => {
    await start(["openai.chat"], { limits: { bodyBytes: MIB } });
    const caller = new RawConnection(
      plane.port,
      `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${1024 * MIB}\r\n\r\n`,
    );
    await caller.until("}}");
    const payload = Buffer.alloc(MIB);
    let sentBytes = 0;
    for (; sentBytes < 1024 * MIB && !caller.isClosed; sentBytes += MIB) {
      if (!caller.socket.write(payload)) await drained(caller);
    }
    expect(sentBytes).toBeLessThan(128 * MIB);
  });

  it("is not read at all without a key", async () => {
    await start(["openai.chat"]);
    const { caller, sentBytes } = await pour("Authorization: Bearer no\r\nTransfer-Encoding: chunked\r\n", 1024 * MIB);
    await caller.until("}}");
    expect(caller.text).toContain("invalid_api_key");
    caller.socket.destroy();
    expect(sentBytes).toBeLessThan(40 * MIB);
  });
});

/** Resolves when more may be written, or nothing can be. */
function drained({ socket }: RawConnection): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.once("drain", resolve).once("close", resolve);
  return promise.finally(() => socket.off("drain", resolve).off("close", resolve));
}
