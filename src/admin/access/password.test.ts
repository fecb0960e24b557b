import { expect, test } from "vitest";
import { PasswordHasher } from "./password.ts";

test("hash() is argon2id with OWASP's costs and a salt of its own, and verify() knows it again", async () => {
  const hasher = new PasswordHasher();
  const [first, second] = await Promise.all([hasher.hash("correct horse"), hasher.hash("correct horse")]);
  expect(first).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  expect(first).not.toBe(second);
  expect(await hasher.verify("correct horse", first)).toBe(true);
  expect(await hasher.verify("correct Horse", first)).toBe(false);
});

test("verify() takes the costs from what was stored, composes text as keyboards do, and refuses what is no hash", async () => {
  const hasher = new PasswordHasher();
  const stored = await hasher.hash("caf\u00e9 au lait");
  expect(await hasher.verify("cafe\u0301 au lait", stored)).toBe(true);
  for (const bad of [
    "",
    "x",
    stored.replace("argon2id", "argon2i"),
    stored.slice(0, -1),
    stored.replace("m=19456", "m=x"),
  ]) {
    expect(await hasher.verify("caf\u00e9 au lait", bad)).toBe(false);
  }
  expect(await hasher.verify("caf\u00e9 au lait", stored.replace("m=19456", "m=8192"))).toBe(false);
  expect(await hasher.verify("", null)).toBe(false);
});

test("more than two at a time wait, and more than that are refused", async () => {
  const hasher = new PasswordHasher();
  const results = await Promise.allSettled(Array.from({ length: 25 }, () => hasher.verify("x", null)));
  expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(18);
  for (const result of results) {
    if (result.status === "rejected") expect(result.reason).toMatchObject({ code: "too_many_requests", status: 429 });
  }
  expect(await hasher.verify("x", null)).toBe(false);
});
