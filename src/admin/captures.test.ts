import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startAdmin, type TestAdmin } from "../../test/support/admin-side.ts";
import { DEFAULT_CAPTURE, DEFAULT_STORAGE } from "../config/defaults.ts";
import { createUuidV7 } from "../lib/uuidv7.ts";
import type { Capture } from "../storage/store.ts";

const PROMPT = "my tax return of 2025";
const newId = createUuidV7();

let admin: TestAdmin;
beforeAll(async () => {
  admin = await startAdmin({ config: { storage: { ...DEFAULT_STORAGE, capture: DEFAULT_CAPTURE } } });
});
afterAll(() => admin.close());

async function captured(keyId: string, fields: Partial<Capture> = {}): Promise<string> {
  const id = newId();
  const about = { operation: "openai.chat", model: "m", capturedAtMs: 0, expiresAtMs: admin.clock.nowMs() + 10_000 };
  const request = { kept: Buffer.from(PROMPT), bytes: PROMPT.length, isCut: false };
  await admin.captures.write({ id, keyId, ...about, request, answer: null, ...fields }, () => true);
  return id;
}

const newKey = async () =>
  (await admin.owner.createKey({ name: "app", policy: { version: 1, capture: { requests: true, retentionHours: 1 } } }))
    .key;

describe("a capture", () => {
  test("is read by an owner, who is in the audit trail before the answer is there; the trail has no word of it", async () => {
    const id = await captured((await newKey()).id);
    const shown = await admin.remote(await admin.token("owner")).capture(id);
    expect(shown).toMatchObject({ id, request: { encoding: "utf8", content: PROMPT, isCut: false }, answer: null });
    const { entries } = await admin.owner.listAudit({ limit: 1 });
    expect(entries[0]).toMatchObject({ action: "captures.read", subject: `request ${id}`, actor: { kind: "token" } });
    expect(JSON.stringify(await admin.owner.listAudit({}))).not.toContain(PROMPT);
  });

  test.each([
    ["an operator", "operator", null],
    ["a viewer", "viewer", null],
    ["an owner's token without the scope", "owner", ["requests:write"]],
  ] as const)("is not for %s", async (_who, role, scopes) => {
    const id = await captured((await newKey()).id);
    const caller = admin.remote(await admin.token(role, scopes === null ? null : [...scopes]));
    await expect(caller.capture(id)).rejects.toMatchObject({ code: "forbidden" });
  });

  test("is gone when its time is over, though its file may still be there for a minute", async () => {
    const id = await captured((await newKey()).id);
    admin.clock.advance(10_000);
    await expect(admin.owner.capture(id)).rejects.toMatchObject({ code: "not_found" });
  });

  test("is gone from the disk when its key was revoked and the call returns", async () => {
    const key = await newKey();
    const id = await captured(key.id);
    await admin.owner.revokeKey(key.id);
    await expect(admin.owner.capture(id)).rejects.toMatchObject({ code: "not_found" });
    expect(readdirSync(join(admin.folder, "captures"))).not.toContain(key.id);
  });

  test("that is cut through a character shows whole ones, and bytes that are no text are base64", async () => {
    const { id: keyId } = await newKey();
    const euros = Buffer.from("a€€");
    const cut = await captured(keyId, { request: { kept: euros.subarray(0, 6), bytes: 7, isCut: true } });
    expect((await admin.owner.capture(cut)).request).toMatchObject({ encoding: "utf8", content: "a€" });
    const audio = await captured(keyId, { request: { kept: Buffer.from([0xff, 1, 2]), bytes: 3, isCut: false } });
    expect((await admin.owner.capture(audio)).request).toMatchObject({ encoding: "base64", content: "/wEC" });
  });
});

test("a policy with capture is refused where the configuration allows none; a key that has it may be changed otherwise", async () => {
  const without = await startAdmin();
  try {
    const policy = { version: 1 as const, capture: { answers: true, retentionHours: 1 } };
    const refused = { code: "invalid_input", hint: expect.stringContaining("storage.capture") };
    await expect(without.owner.createKey({ name: "app", policy })).rejects.toMatchObject(refused);
    const { key } = await without.owner.createKey({ name: "app" });
    await expect(without.owner.updateKey(key.id, { policy })).rejects.toMatchObject(refused);
  } finally {
    await without.close();
  }
  const key = await newKey();
  const policy = { version: 1 as const, concurrency: 1, capture: { requests: true, retentionHours: 1 } };
  expect((await admin.owner.updateKey(key.id, { policy })).policy).toMatchObject(policy);
});
