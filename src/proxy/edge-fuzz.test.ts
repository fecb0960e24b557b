import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DataPlane, startDataPlane } from "../../test/support/data-plane.ts";
import type { PlayedTarget } from "../../test/support/played-target.ts";

/** Whatever comes on a socket: no answer of ours is a 5xx, nothing reaches an engine, and the process goes on. */
let plane: DataPlane;
let target: PlayedTarget | undefined;
beforeAll(async () => {
  plane = await startDataPlane({ limits: { authFailuresPerMinute: 1_000_000 } });
  [target] = plane.serve("llama", "forge");
});
afterAll(() => plane.close());

const noise = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
const printable = fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)) });
const text = fc.oneof(
  noise,
  printable,
  fc.constantFrom("chunked", "0", "5", "localhost", "100-continue", "h2c", "close"),
);
const name = fc.oneof(
  text,
  fc.constantFrom(
    ...["Host", "Content-Length", "Transfer-Encoding", "Authorization", "X-Api-Key", "Expect", "Upgrade", "Connection"],
    ...["Content-Encoding", "X-Forwarded-For", "X-Postern-Node", "X-Postern-Policy", "Origin", "Trailer", "TE"],
  ),
);
const path = fc.oneof(
  text,
  fc
    .constantFrom("/v1/chat/completions", "/v1/models/", "/api/pull", "/api/show", "/", "*", "/.postern/connect")
    .chain((known) => text.map((tail) => known + tail)),
);
const method = fc.oneof(fc.constantFrom("GET", "POST", "HEAD", "OPTIONS", "CONNECT", "PRI"), text);
const SETTINGS = { numRuns: 150 };

async function answersTo(bytes: string): Promise<number[]> {
  const caller = plane.raw(Buffer.from(bytes, "latin1"));
  caller.socket.end();
  await caller.untilClosed();
  return [...caller.text.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, status]) => Number(status));
}

async function expectHarmless(bytes: string): Promise<void> {
  for (const status of await answersTo(bytes)) expect(status, JSON.stringify(bytes)).toBeLessThan(500);
  expect(target?.attempts).toHaveLength(0);
}

describe("fuzzed bytes get no 5xx and reach no engine", () => {
  it("as whole connections", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (bytes) => {
        await expectHarmless(Buffer.from(bytes).toString("latin1"));
      }),
      SETTINGS,
    );
  });

  it("as request lines, headers and bodies, with a good key or none", async () => {
    const headers = fc.array(fc.tuple(name, text), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(method, path, headers, fc.boolean(), text, async (verb, to, fields, hasKey, body) => {
        const lines = fields.map(([one, value]) => `${one}: ${value}\r\n`).join("");
        const key = hasKey ? `Authorization: Bearer ${plane.key}\r\n` : "";
        await expectHarmless(`${verb} ${to} HTTP/1.1\r\nHost: localhost\r\n${key}${lines}\r\n${body}`);
      }),
      SETTINGS,
    );
  });

  it("as keys that are nearly one", async () => {
    const edits = fc.tuple(fc.nat({ max: 80 }), text);
    await fc.assert(
      fc.asyncProperty(edits, async ([at, inserted]) => {
        const key = plane.key.slice(0, at) + inserted + plane.key.slice(at + 1);
        fc.pre(key !== plane.key && key.trim() !== plane.key);
        await expectHarmless(`GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\n\r\n`);
      }),
      SETTINGS,
    );
  });

  it("as bodies with a good key", async () => {
    const body = fc.oneof(
      fc.json(),
      noise,
      fc.json().map((json) => `{"model":"nobody","messages":${json}}`),
    );
    await fc.assert(
      fc.asyncProperty(
        body,
        fc.constantFrom("/v1/chat/completions", "/v1/messages", "/api/chat", "/v1/responses"),
        async (sent, to) => {
          const bytes = Buffer.from(sent, "latin1");
          await expectHarmless(
            `POST ${to} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${plane.key}\r\nContent-Length: ${bytes.length}\r\n\r\n${bytes.toString("latin1")}`,
          );
        },
      ),
      SETTINGS,
    );
  });
});
