import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Answered, startAdmin, type TestAdmin } from "../../test/support/admin-side.ts";
import type { Me } from "./contract-access.ts";

const PASSWORD = "correct horse battery";

let admin: TestAdmin;
beforeEach(async () => {
  admin = await startAdmin();
});
afterEach(() => admin.close());

interface Login {
  cookie: string;
  csrf: string;
}

async function logIn(name = "ada", password = PASSWORD): Promise<Login> {
  const answer = await post("/session", { name, password });
  expect(answer.status).toBe(201);
  return loginOf(answer);
}

function loginOf(answer: Answered): Login {
  const [setCookie = ""] = (answer.headers["set-cookie"] ?? []) as string[];
  return { cookie: setCookie.split(";")[0] ?? "", csrf: answer.json<Me>().csrfToken ?? "" };
}

function post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answered> {
  return admin.send({ method: "POST", path: `/admin/v1${path}`, body, headers });
}

function get(path: string, headers: Record<string, string>): Promise<Answered> {
  return admin.send({ path: `/admin/v1${path}`, headers });
}

function as({ cookie, csrf }: Login): Record<string, string> {
  return { cookie, "x-postern-csrf": csrf };
}

describe("a login", () => {
  beforeEach(() => admin.owner.createUser({ name: "ada", role: "operator", password: PASSWORD }));

  test("gives a cookie that no script and no other site can use, and a token that changes need", async () => {
    const answer = await post("/session", { name: "ada", password: PASSWORD });
    expect(answer.headers["set-cookie"]).toEqual([
      expect.stringMatching(/^postern-session=[0-9A-Za-z]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=43200$/),
    ]);
    const login = loginOf(answer);
    expect((await get("/session", as(login))).json()).toMatchObject({ kind: "user", name: "ada", role: "operator" });
    expect((await post("/keys", { name: "app" }, as(login))).status).toBe(201);
    expect((await get("/users", as(login))).status).toBe(403);
    const [entry] = (await admin.owner.listAudit({ action: "keys.create" })).entries;
    expect(entry?.actor).toMatchObject({ kind: "user", name: "ada", address: "127.0.0.1" });
  });

  test("is kept as a hash, alone, and lives on over a restart of whoever reads the store", async () => {
    const { cookie } = await logIn();
    const [session] = await admin.store.sessions.list();
    const secret = cookie.split("=")[1] ?? "";
    expect(Buffer.from(session?.hash ?? []).equals(Buffer.from(secret))).toBe(false);
    expect(session?.hash).toHaveLength(32);
    expect(JSON.stringify(await admin.owner.listAudit({}))).not.toContain(secret);
  });

  test("changes nothing without the token, from another site's page, or with another login's token", async () => {
    const login = await logIn();
    const other = await logIn();
    const cases: Array<[string, Record<string, string>]> = [
      ["no token", { cookie: login.cookie }],
      ["a wrong token", as({ ...login, csrf: "x" })],
      ["another login's token", as({ ...login, csrf: other.csrf })],
      ["cross-site", { ...as(login), "sec-fetch-site": "cross-site" }],
      ["same-site, another host", { ...as(login), "sec-fetch-site": "same-site" }],
      ["another origin", { ...as(login), origin: "https://evil.example.org" }],
      ["null origin", { ...as(login), origin: "null" }],
    ];
    for (const [what, headers] of cases) {
      const { status, text } = await post("/keys", { name: "app" }, headers);
      expect([what, status]).toEqual([what, 403]);
      expect(text).toContain("another site");
    }
    expect(await admin.owner.listKeys()).toEqual([]);
    const ours = { ...as(login), "sec-fetch-site": "same-origin", origin: admin.adminUrl };
    expect((await post("/keys", { name: "app" }, ours)).status).toBe(201);
  });

  test("cannot be made by another site's page", async () => {
    const body = { name: "ada", password: PASSWORD };
    expect((await post("/session", body, { "sec-fetch-site": "cross-site" })).status).toBe(403);
    expect((await post("/session", body, { origin: "https://evil.example.org" })).status).toBe(403);
    // What a form of another site can send without asking first.
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]) {
      expect((await post("/session", JSON.stringify(body), { "content-type": type })).status).toBe(400);
    }
  });

  test("ends after an hour without a call, and after twelve whatever happens", async () => {
    const idle = await logIn();
    admin.clock.advance(59 * 60_000);
    expect((await get("/session", as(idle))).status).toBe(200);
    admin.clock.advance(60 * 60_000);
    expect((await get("/session", as(idle))).status).toBe(401);
    const busy = await logIn();
    for (let at = 0; at < 24; at += 1) {
      expect((await get("/session", as(busy))).status).toBe(200);
      admin.clock.advance(30 * 60_000);
    }
    expect((await get("/session", as(busy))).status).toBe(401);
    await logIn();
    expect(await admin.store.sessions.list()).toHaveLength(1);
  });

  test("ends at once, with what it is doing, by logging out, by an owner, with its user and with a new password", async () => {
    const ends: Array<[string, (login: Login) => Promise<unknown>]> = [
      ["log out", (login) => admin.send({ method: "DELETE", path: "/admin/v1/session", headers: as(login) })],
      ["an owner", async () => admin.owner.endSession((await admin.owner.listSessions())[0]?.id ?? "")],
      ["a new role", () => admin.owner.updateUser("ada", { role: "viewer" })],
      ["a new password", () => admin.owner.updateUser("ada", { password: PASSWORD, role: "operator" })],
      ["its own new password", (login) => post("/password", { current: PASSWORD, password: PASSWORD }, as(login))],
      ["removal", () => admin.owner.removeUser("ada")],
    ];
    for (const [what, end] of ends) {
      const login = await logIn();
      const started = Promise.withResolvers<AbortSignal>();
      admin.live.probeModel = (_input, signal) => {
        started.resolve(signal);
        return new Promise(() => {});
      };
      const isProbing = (await get("/session", as(login))).json<Me>().role === "operator";
      const probing = isProbing ? post("/models/probe", { model: "m" }, as(login)) : null;
      if (probing !== null) await started.promise;
      const startMs = performance.now();
      const answer = await end(login);
      if (typeof answer === "object" && answer !== null && "text" in answer) {
        expect([what, (answer as Answered).status]).toEqual([what, 200]);
      }
      if (probing !== null) expect([what, (await probing).status]).toEqual([what, 401]);
      expect([what, (await get("/session", as(login))).status]).toEqual([what, 401]);
      expect(performance.now() - startMs).toBeLessThan(1000);
    }
    expect(await admin.store.sessions.list()).toEqual([]);
  });

  test("by the same user more than sixteen times ends the one that was used longest ago", async () => {
    const first = await logIn();
    for (let at = 0; at < 16; at += 1) {
      admin.clock.advance(1000);
      await logIn();
    }
    expect((await get("/session", as(first))).status).toBe(401);
    expect(await admin.owner.listSessions()).toHaveLength(16);
  });

  test("with two cookies, a malformed or a made-up one is none", async () => {
    const { cookie } = await logIn();
    expect((await get("/session", { cookie: `${cookie}; ${cookie}` })).status).toBe(400);
    for (const value of ["", "x", `${"0".repeat(43)}`, `${cookie.split("=")[1]}0`, "__proto__", "%00"]) {
      expect((await get("/session", { cookie: `postern-session=${value}` })).status).toBe(401);
    }
    expect(
      (await get("/session", { cookie: cookie.replace("postern-session", "__Host-postern-session") })).status,
    ).toBe(401);
  });

  test("does not tell a wrong name from a wrong password", async () => {
    const wrong = await post("/session", { name: "ada", password: "wrong" });
    const unknown = await post("/session", { name: "nobody", password: "wrong" });
    expect([wrong.status, wrong.text]).toEqual([401, unknown.text]);
    expect(wrong.headers["set-cookie"]).toBeUndefined();
    // The stored hash is no password (LiteLLM GHSA-69x8-hrgq-fjj8).
    const [user] = await admin.store.users.list();
    expect((await post("/session", { name: "ada", password: user?.passwordHash })).status).toBe(401);
  });

  test("waits longer with each wrong password, the right one included, and says how long", async () => {
    for (let at = 0; at < 5; at += 1)
      expect((await post("/session", { name: "ada", password: "no" })).status).toBe(401);
    const held = await post("/session", { name: "ada", password: PASSWORD });
    expect([held.status, held.headers["retry-after"]]).toEqual([429, "1"]);
    admin.clock.advance(1000);
    expect((await post("/session", { name: "ada", password: "no" })).status).toBe(401);
    expect((await post("/session", { name: "ada", password: PASSWORD })).headers["retry-after"]).toBe("2");
    admin.clock.advance(2000);
    await logIn();
    expect((await post("/session", { name: "ada", password: "no" })).status).toBe(401);
    // Entries about refusals are written behind the answer; a write that is waited for comes after them.
    await admin.store.settings.set("test", new Uint8Array());
    const { entries } = await admin.owner.listAudit({ action: "refused" });
    expect(new Set(entries.map(({ subject }) => subject))).toEqual(new Set(["user ada"]));
  });

  test("is held back per address for names that nobody has", async () => {
    for (let at = 0; at < 20; at += 1) await post("/session", { name: `nobody-${at}`, password: "no" });
    expect((await post("/session", { name: "ada", password: PASSWORD })).status).toBe(429);
  });
});

describe("the first user", () => {
  const user = { name: "ada", password: PASSWORD };

  test("is made once with the code of the link, as an owner who is logged in", async () => {
    const { code, url } = await admin.owner.createSetupLink(true);
    expect(url).toBe(`http://127.0.0.1:8401/setup#${code}`);
    const made = await post("/setup", { code, ...user });
    expect(made.status).toBe(201);
    expect((await get("/users", as(loginOf(made)))).json()).toMatchObject({ users: [{ name: "ada", role: "owner" }] });
    expect((await post("/setup", { code, ...user, name: "eve" })).status).toBe(401);
    await expect(admin.owner.createSetupLink(false)).rejects.toMatchObject({ code: "already_exists" });
  });

  test("is made by one of two who have the code", async () => {
    const { code } = await admin.owner.createSetupLink(true);
    const both = await Promise.all([post("/setup", { code, ...user }), post("/setup", { code, ...user, name: "eve" })]);
    expect(both.map(({ status }) => status).toSorted()).toEqual([201, 401]);
    expect(await admin.owner.listUsers()).toHaveLength(1);
  });

  test("is not made with no, a wrong, an old or a replaced code", async () => {
    for (const code of ["", "x", `psts_${"0".repeat(12)}_${"0".repeat(43)}`]) {
      expect((await post("/setup", { code, ...user })).status).toBe(401);
    }
    const replaced = await admin.owner.createSetupLink(false);
    const old = await admin.owner.createSetupLink(false);
    expect((await post("/setup", { code: replaced.code, ...user })).status).toBe(401);
    admin.clock.advance(60 * 60_000);
    expect((await post("/setup", { code: old.code, ...user })).status).toBe(401);
    expect(await admin.owner.listUsers()).toEqual([]);
  });

  test("needs a password of twelve characters, and a failed try leaves the code good", async () => {
    const { code } = await admin.owner.createSetupLink(true);
    expect((await post("/setup", { code, name: "ada", password: "short" })).status).toBe(400);
    expect((await post("/setup", { code, ...user })).status).toBe(201);
  });

  test("is offered once by itself, and again when somebody asks", async () => {
    await admin.owner.createSetupLink(true);
    await expect(admin.owner.createSetupLink(true)).rejects.toMatchObject({ code: "already_exists" });
    expect((await admin.owner.createSetupLink(false)).code).toMatch(/^psts_/);
  });
});

test("the last owner cannot be removed by users alone, and tokens end with the user who made them", async () => {
  await admin.owner.createUser({ name: "ada", role: "owner", password: PASSWORD });
  const ada = await logIn();
  expect((await admin.send({ method: "DELETE", path: "/admin/v1/users/ada", headers: as(ada) })).status).toBe(400);
  expect(
    (await admin.send({ method: "PATCH", path: "/admin/v1/users/ada", body: { role: "viewer" }, headers: as(ada) }))
      .status,
  ).toBe(400);
  const made = (await post("/tokens", { name: "t", role: "owner" }, as(ada))).json<{ secret: string }>();
  expect((await admin.remote(made.secret).listUsers()).map(({ name }) => name)).toEqual(["ada"]);
  await admin.owner.updateUser("ada", { role: "viewer" });
  await expect(admin.remote(made.secret).status()).rejects.toMatchObject({ code: "unauthorized" });
  await admin.owner.removeUser("ada");
  expect(await admin.owner.listUsers()).toEqual([]);
});
