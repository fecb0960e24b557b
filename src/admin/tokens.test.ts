import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startAdmin, type TestAdmin } from "../../test/support/admin-side.ts";
import { AccessBook } from "./access/book.ts";
import { type Grant, isAllowed, isGrantWithin, RESOURCES, ROLES, SCOPES } from "./access/role.ts";

const grants = fc.record<Grant>({
  role: fc.constantFrom(...ROLES),
  scopes: fc.option(fc.subarray([...SCOPES]), { nil: null }),
});
const needs = fc.record({
  resource: fc.constantFrom(...RESOURCES),
  access: fc.constantFrom("read" as const, "write" as const),
  role: fc.constantFrom(...ROLES),
});

test("isGrantWithin() never calls a grant within another that may do what the other may not", () => {
  fc.assert(
    fc.property(grants, grants, needs, (wanted, limit, need) => {
      if (isGrantWithin(wanted, limit) && isAllowed(wanted, need)) expect(isAllowed(limit, need)).toBe(true);
    }),
    { numRuns: 2000 },
  );
});

test("isAllowed() allows nothing with an empty list of scopes, and reading with a scope for writing", () => {
  const need = { resource: "keys", access: "read", role: "viewer" } as const;
  expect(isAllowed({ role: "owner", scopes: [] }, need)).toBe(false);
  expect(isAllowed({ role: "viewer", scopes: ["keys:write"] }, need)).toBe(true);
  expect(isAllowed({ role: "viewer", scopes: ["keys:write"] }, { ...need, role: "operator" })).toBe(false);
});

describe("over the listener", () => {
  let admin: TestAdmin;
  beforeEach(async () => {
    admin = await startAdmin();
  });
  afterEach(() => admin.close());

  test("a token is shown once, kept as its hash, and listed without it", async () => {
    const { token, secret } = await admin.owner.createToken({ name: "ci", role: "operator", scopes: ["keys:write"] });
    expect(secret).toMatch(/^psta_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}$/);
    expect(secret).toContain(token.id);
    const listed = JSON.stringify(await admin.owner.listTokens());
    expect(listed).not.toContain(secret.slice(-43));
    expect(listed).not.toContain("hash");
    const [stored] = await admin.store.tokens.list();
    expect(Buffer.from(stored?.hash ?? []).toString("hex")).toHaveLength(64);
    expect(JSON.stringify(await admin.owner.listAudit({}))).not.toContain(secret.slice(-43));
    // The hash itself opens nothing: what was stolen from a backup cannot be presented.
    const stolen = `psta_${token.id}_${Buffer.from(stored?.hash ?? [])
      .toString("base64url")
      .slice(0, 43)}`;
    await expect(admin.remote(stolen).status()).rejects.toMatchObject({ code: "unauthorized" });
  });

  test("nobody makes a token that may more, or lives longer, than they", async () => {
    const operator = admin.remote(await admin.token("operator"));
    await expect(operator.createToken({ name: "x", role: "owner" })).rejects.toMatchObject({ code: "forbidden" });
    expect((await operator.createToken({ name: "x", role: "operator" })).token.createdBy).toMatch(/^token /);

    const narrow = admin.remote(await admin.token("operator", ["tokens:write", "keys:read"]));
    for (const scopes of [null, ["keys:write" as const], ["nodes:read" as const]]) {
      await expect(narrow.createToken({ name: "x", scopes })).rejects.toMatchObject({ code: "forbidden" });
    }
    expect((await narrow.createToken({ name: "x", scopes: ["keys:read"] })).token.scopes).toEqual(["keys:read"]);

    const short = admin.remote(
      (await admin.owner.createToken({ name: "short", role: "operator", expiresInMs: 10_000 })).secret,
    );
    for (const expiresInMs of [null, 10_001]) {
      await expect(short.createToken({ name: "x", expiresInMs })).rejects.toMatchObject({ code: "forbidden" });
    }
    await short.createToken({ name: "child", expiresInMs: 9_000 });
  });

  test("nobody ends a token that may more than they, but anybody their own", async () => {
    const owner = await admin.owner.createToken({ name: "owner", role: "owner" });
    const secret = await admin.token("operator");
    const operator = admin.remote(secret);
    await expect(operator.revokeToken(owner.token.id)).rejects.toMatchObject({ code: "forbidden" });
    const narrow = await admin.owner.createToken({ name: "narrow", role: "operator", scopes: ["tokens:write"] });
    await expect(admin.remote(narrow.secret).revokeToken(secret.slice(5, 17))).rejects.toMatchObject({
      code: "forbidden",
    });
    expect((await admin.remote(narrow.secret).revokeToken(narrow.token.id)).token.state).toBe("revoked");
    await expect(admin.remote(narrow.secret).status()).rejects.toMatchObject({ code: "unauthorized" });
    expect((await admin.owner.revokeToken(owner.token.id)).token.state).toBe("revoked");
  });

  test("a token ends with its time and with its revocation, over a restart too", async () => {
    const short = await admin.owner.createToken({ name: "short", expiresInMs: 1000 });
    const gone = await admin.owner.createToken({ name: "gone" });
    expect((await admin.remote(short.secret).status()).version).toBe("1.2.3");
    await admin.owner.revokeToken("gone");
    admin.clock.advance(1000);
    const good = await admin.owner.createToken({ name: "good" });
    const afterRestart = new AccessBook();
    await afterRestart.load(admin.store);
    const nowMs = admin.clock.nowMs();
    for (const { secret } of [short, gone]) {
      await expect(admin.remote(secret).status()).rejects.toMatchObject({ code: "unauthorized" });
      expect(afterRestart.identifyToken(secret, "", nowMs)).toBeNull();
    }
    expect(afterRestart.identifyToken(good.secret, "", nowMs)).toMatchObject({ kind: "token", name: "good" });
  });

  // A token that had made another one before it was found out would otherwise live on in it.
  test("with a token end those that it had made, and those that they had made", async () => {
    const first = await admin.owner.createToken({ name: "first", role: "owner" });
    const second = await admin.remote(first.secret).createToken({ name: "second", role: "operator" });
    const third = await admin.remote(second.secret).createToken({ name: "third" });
    const other = await admin.owner.createToken({ name: "other" });
    const { alsoRevoked } = await admin.owner.revokeToken("first");
    expect(alsoRevoked.toSorted()).toEqual([second.token.id, third.token.id].toSorted());
    for (const { secret } of [first, second, third]) {
      await expect(admin.remote(secret).status()).rejects.toMatchObject({ code: "unauthorized" });
    }
    expect((await admin.remote(other.secret).status()).version).toBe("1.2.3");
  });

  test("revoking a token ends what it is doing in under a second", async () => {
    const { secret, token } = await admin.owner.createToken({ name: "slow", role: "operator" });
    const started = Promise.withResolvers<AbortSignal>();
    admin.live.probeModel = (_input, signal) => {
      started.resolve(signal);
      return new Promise(() => {});
    };
    const probing = admin.remote(secret).probeModel({ model: "m" });
    const signal = await started.promise;
    const startMs = performance.now();
    await admin.owner.revokeToken(token.id);
    await expect(probing).rejects.toMatchObject({ code: "unauthorized" });
    expect(performance.now() - startMs).toBeLessThan(1000);
    expect(signal.aborted).toBe(true);
  });

  test("a name that several tokens have is refused with their ids", async () => {
    const one = await admin.owner.createToken({ name: "twin" });
    await admin.owner.createToken({ name: "twin" });
    await expect(admin.owner.revokeToken("twin")).rejects.toMatchObject({
      hint: expect.stringContaining(one.token.id),
    });
    await expect(admin.owner.revokeToken("nobody")).rejects.toMatchObject({ code: "not_found" });
  });

  test("failures are limited per address, and a good token goes on working", async () => {
    const good = await admin.token("viewer");
    const statuses: number[] = [];
    for (let at = 0; at < 40; at += 1) {
      const { status, headers } = await admin.send({
        path: "/admin/v1/status",
        headers: { authorization: "Bearer x" },
      });
      statuses.push(status);
      if (status === 429) expect(Number(headers["retry-after"])).toBeGreaterThan(0);
    }
    expect(statuses.filter((status) => status === 401)).toHaveLength(30);
    expect(statuses.at(-1)).toBe(429);
    expect((await admin.remote(good).status()).version).toBe("1.2.3");
  });
});
