import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startAdmin, type TestAdmin } from "../../test/support/admin-side.ts";
import { RESOURCES, ROLES, SCOPES, type Scope } from "./access/role.ts";
import type { AdminErrorBody } from "./contract.ts";
import { ADMIN_PREFIX } from "./contract.ts";
import type { Route } from "./routes/route.ts";
import { ROUTES } from "./routes/table.ts";

// Every door of the table is tried over TCP, so that a route that is added is tried too. Portkey's and LiteLLM's holes were
// routes that somebody had registered without the check (reference/ai-gateways.md §4).

let admin: TestAdmin;
beforeAll(async () => {
  admin = await startAdmin();
});
afterAll(() => admin.close());

const NAMES = ROUTES.map((route): [string, Route] => [`${route.method} ${route.path}`, route]);
const CLOSED = NAMES.filter(([, route]) => route.role !== "anyone");
/** Below the least role; nobody is below a viewer but those without the scope. */
const ABOVE_VIEWER = CLOSED.filter(([, route]) => route.role !== "viewer");
const SCOPED = CLOSED.filter(([, route]) => route.resource !== "self");

function pathOf(route: Route): string {
  return `${ADMIN_PREFIX}${route.path.replace(/\{\w+\}/g, "x")}`;
}

async function call(route: Route, token: string | null, headers: Record<string, string> = {}) {
  const hasBody = route.method !== "GET" && route.method !== "DELETE";
  const answer = await admin.send({
    method: route.method,
    path: pathOf(route),
    headers: { ...(token === null ? {} : { authorization: `Bearer ${token}` }), ...headers },
    ...(hasBody ? { body: {} } : {}),
  });
  return { ...answer, code: answer.text === "" ? null : answer.json<AdminErrorBody>().error?.code };
}

test("the only routes that somebody unknown may call are the login and the set-up", () => {
  expect(NAMES.filter(([, route]) => route.role === "anyone").map(([name]) => name)).toEqual([
    "POST /session",
    "POST /setup",
  ]);
});

describe("without a credential", () => {
  test.each(CLOSED)("%s is 401", async (_name, route) => {
    const { status, code, headers } = await call(route, null);
    expect([status, code]).toEqual([401, "unauthorized"]);
    expect(headers["www-authenticate"]).toMatch(/^Bearer/);
  });
});

describe("with a role below", () => {
  let tokens: Record<string, string>;
  beforeAll(async () => {
    tokens = { viewer: await admin.token("viewer"), operator: await admin.token("operator") };
  });
  test.each(ABOVE_VIEWER)("%s is 403", async (_name, route) => {
    for (const role of ROLES.slice(0, ROLES.indexOf(route.role as "viewer"))) {
      const { status, code } = await call(route, tokens[role] ?? "");
      expect([role, status, code]).toEqual([role, 403, "forbidden"]);
    }
  });
});

describe("with every scope but its own, though an owner", () => {
  const tokens = new Map<string, string>();
  beforeAll(async () => {
    for (const resource of RESOURCES) {
      for (const access of ["read", "write"] as const) {
        // Writing includes reading, so that to lack a read is to lack both.
        const lacking: Scope[] = access === "read" ? [`${resource}:read`, `${resource}:write`] : [`${resource}:write`];
        const scopes = SCOPES.filter((scope) => !lacking.includes(scope));
        tokens.set(`${resource}:${access}`, await admin.token("owner", scopes));
      }
    }
  });
  test.each(SCOPED)("%s is 403", async (_name, route) => {
    const { status, code } = await call(route, tokens.get(`${route.resource}:${route.access}`) ?? "");
    expect([status, code]).toEqual([403, "forbidden"]);
  });
});

test("with exactly its scope and role a route lets in", async () => {
  for (const [name, route] of SCOPED) {
    const role = route.role === "anyone" ? "viewer" : route.role;
    const token = await admin.token(role, [`${route.resource}:${route.access}`]);
    const { status } = await call(route, token);
    expect([name, [401, 403].includes(status)]).toEqual([name, false]);
  }
});

test("a credential of another kind, a malformed one, one that is cut or changed: 401, and the store is not asked", async () => {
  const good = await admin.token("owner");
  const key = (await admin.owner.createKey({ name: "app" })).secret;
  const wrong = [
    key,
    good.replace("psta_", "pst_"),
    good.slice(0, -1),
    `${good}0`,
    `${good.slice(0, -1)}${good.endsWith("0") ? "1" : "0"}`,
    "psta_' or 1=1 --",
    "psta_",
    "x".repeat(500),
  ];
  for (const token of wrong) {
    const { status } = await admin.send({ path: "/admin/v1/status", headers: { authorization: `Bearer ${token}` } });
    expect([token, status]).toEqual([token, 401]);
  }
  for (const authorization of ["", "Bearer", good, `Basic ${good}`, `Bearer ${good} ${good}`]) {
    expect((await admin.send({ path: "/admin/v1/status", headers: { authorization } })).status).toBe(401);
  }
  expect((await admin.send({ path: `/admin/v1/status?token=${good}` })).status).toBe(401);
});

test("what is not there is 401 for who is unknown and 404 for who is known; nothing answers CORS", async () => {
  const authorization = `Bearer ${await admin.token("viewer")}`;
  for (const [method, path] of [
    ["GET", "/admin/v1/nothing"],
    ["GET", "/admin/v2/status"],
    ["OPTIONS", "/admin/v1/status"],
    ["HEAD", "/admin/v1/status"],
    ["GET", "/admin/v1/status/"],
    ["GET", "/admin/v1/STATUS"],
    ["GET", "/admin/v1/keys/../status"],
    ["GET", "/admin/v1//status"],
  ] as const) {
    const origin = "https://evil.example.org";
    const unknown = await admin.send({ method, path, headers: { origin } });
    expect([method, path, unknown.status]).toEqual([
      method,
      path,
      method === "OPTIONS" || method === "HEAD" ? unknown.status : 401,
    ]);
    expect(unknown.status).toBe(401);
    const known = await admin.send({ method, path, headers: { authorization, origin } });
    expect([method, path, known.status]).toEqual([method, path, 404]);
    for (const { headers } of [unknown, known]) {
      expect(Object.keys(headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
    }
  }
});

test("every answer says that it is not to be kept, framed, guessed or read by other origins", async () => {
  const authorization = `Bearer ${await admin.token("viewer")}`;
  const answers = [
    await admin.send({ path: "/admin/v1/status", headers: { authorization } }),
    await admin.send({ path: "/admin/v1/status" }),
    await admin.send({ path: "/admin/v1/nothing", headers: { authorization } }),
    await admin.send({ path: "/admin/v1/keys/%zz", headers: { authorization } }),
  ];
  expect(answers.map(({ status }) => status)).toEqual([200, 401, 404, 400]);
  for (const { headers } of answers) {
    expect(headers).toMatchObject({
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
      "cross-origin-resource-policy": "same-origin",
    });
  }
});

test("two Authorization headers are refused, whichever is good", async () => {
  const token = await admin.token("owner");
  const lines = [`Authorization: Bearer ${token}`, "Authorization: Bearer x", "Host: localhost", "Connection: close"];
  const socket = connect(Number(new URL(admin.adminUrl).port), "127.0.0.1");
  socket.end(`GET /admin/v1/status HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
  let answer = "";
  for await (const chunk of socket) answer += String(chunk);
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
});
