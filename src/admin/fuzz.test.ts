import { connect } from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startAdmin, type TestAdmin } from "../../test/support/admin-side.ts";
import { ADMIN_PREFIX } from "./contract.ts";
import { ROUTES } from "./routes/table.ts";

// Whatever is said to the admin API, by an owner or by a stranger, it answers with something below 500 and goes on.

let admin: TestAdmin;
let token: string;
beforeAll(async () => {
  admin = await startAdmin();
  token = await admin.token("owner");
});
afterAll(() => admin.close());

/** Routes that say what a running machine is like, or write files where they are told, are left to their own tests. */
const routes = fc.constantFrom(...ROUTES.filter(({ path }) => path !== "/backup"));

const word = fc.oneof(
  fc.string({ unit: "binary", maxLength: 300 }).map(encodeURIComponentSafely),
  fc.constantFrom("%zz", "%00", "..", "%2e%2e", "__proto__", "constructor", "a".repeat(5000), "1e999", "-1", "%ff"),
);

const member = fc.constantFrom(
  ...[
    "name",
    "models",
    "expiresInMs",
    "role",
    "scopes",
    "password",
    "code",
    "range",
    "effect",
    "host",
    "path",
    "key",
    "url",
  ],
  ...[
    "maxUses",
    "__proto__",
    "constructor",
    "model",
    "timeoutMs",
    "onlyOnce",
    "current",
    "endpoint",
    "owner",
    "mayLeave",
  ],
);

const body = fc.oneof(
  fc.jsonValue({ maxDepth: 4 }).map((value) => JSON.stringify(value)),
  fc
    .dictionary(member, fc.oneof(fc.jsonValue(), fc.constantFrom(1e308, -0, "", "x".repeat(9999), null, [null])), {
      maxKeys: 6,
    })
    .map((value) => JSON.stringify(value)),
  fc.constantFrom(
    "",
    "{",
    "[",
    "[".repeat(100_000),
    '{"a":'.repeat(20_000),
    '{"name":"a","name":"b"}',
    "\ufeff{}",
    "null",
    "1e999",
  ),
  fc.constantFrom('{"__proto__":{"role":"owner"}}', '{"constructor":{"prototype":{"x":1}}}', "x".repeat(300_000)),
  fc.string({ unit: "binary", maxLength: 200 }),
);

const query = fc.oneof(
  fc.constant(""),
  fc.string({ maxLength: 50 }).map((text) => `?${encodeURIComponentSafely(text)}`),
  fc
    .record({
      name: fc.constantFrom("limit", "before", "sinceMs", "untilMs", "by", "actor", "anchor", "key"),
      value: word,
    })
    .map(({ name, value }) => `?${name}=${value}&${name}=${value}`),
  fc.constantFrom(
    "?limit=1e9",
    "?limit=0x10",
    "?before=-1",
    "?sinceMs=99999999999999999999",
    "?limit=",
    "?__proto__=1",
  ),
);

const headers = fc.oneof(
  fc.constant({}),
  fc.record({
    "content-type": fc.constantFrom("application/json", "text/plain", "application/json; charset=utf-16", "x/y", ""),
  }),
  fc.record({ "content-encoding": fc.constantFrom("gzip", "br", "x") }),
  fc.record({
    cookie: fc.constantFrom("postern-session=x", "postern-session=", ";;;=;", "a=b; postern-session=__proto__"),
  }),
);

function encodeURIComponentSafely(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

test("every route, with any path, query, headers and body, answers below 500", async () => {
  await fc.assert(
    fc.asyncProperty(
      routes,
      word,
      query,
      headers,
      body,
      fc.boolean(),
      async (route, name, search, extra, text, isOwner) => {
        const path = `${ADMIN_PREFIX}${route.path.replace(/\{\w+\}/g, name)}${search}`;
        const answer = await admin.send({
          method: route.method,
          path,
          headers: { ...(isOwner ? { authorization: `Bearer ${token}` } : {}), ...extra },
          ...(route.method === "GET" ? {} : { body: text }),
        });
        expect([route.method, path, answer.status < 500]).toEqual([route.method, path, true]);
        if (!isOwner && route.role !== "anyone") expect([400, 401, 404, 414, 431]).toContain(answer.status);
        // An error is always in our form, and never says what is inside.
        if (answer.status >= 400) {
          expect(answer.json<{ error: { code: string } }>().error.code).toMatch(/^[a-z_]+$/);
          expect(answer.text).not.toMatch(/node_modules|\/src\/|SQLITE|at .*\.ts:/);
        }
      },
    ),
    { numRuns: 400 },
  );
  expect((await admin.owner.status()).version).toBe("1.2.3");
}, 60_000);

test("bytes that are no HTTP leave it running", async () => {
  const port = Number(new URL(admin.adminUrl).port);
  const line = fc.oneof(
    fc.string({ unit: "binary", maxLength: 300 }),
    fc.constantFrom(
      "GET /admin/v1/status HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
      "GET /admin/v1/status HTTP/9.9\r\n\r\n",
      "GET http://localhost/admin/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
      "POST /admin/v1/keys HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
      "POST /admin/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n{",
      `GET /admin/v1/status HTTP/1.1\r\nHost: localhost\r\nX: ${"y".repeat(20_000)}\r\n\r\n`,
      `GET /admin/v1/status HTTP/1.1\r\nHost: localhost\r\n${"A: b\r\n".repeat(3_000)}\r\n`,
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "\x16\x03\x01\x02\x00\x01\x00",
    ),
  );
  await fc.assert(
    fc.asyncProperty(line, async (bytes) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => {});
      socket.end(bytes, "latin1");
      let answer = "";
      for await (const chunk of socket) answer += String(chunk);
      expect(answer).not.toMatch(/^HTTP\/1\.1 5/);
    }),
    { numRuns: 60 },
  );
  expect((await admin.owner.status()).version).toBe("1.2.3");
}, 60_000);
