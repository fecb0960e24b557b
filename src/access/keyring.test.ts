import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { KeyRecord } from "./key.ts";
import { createKey } from "./key-format.ts";
import { Keyring } from "./keyring.ts";

function make(more: Partial<KeyRecord> = {}): { text: string; record: KeyRecord } {
  const { key, id, hash } = createKey(randomBytes);
  const record = {
    id,
    name: "test",
    hash,
    endpointId: "default",
    models: null,
    createdAtMs: 0,
    expiresAtMs: null,
    revokedAtMs: null,
  };
  return { text: key.reveal(), record: { ...record, ...more } };
}

describe("Keyring", () => {
  test("knows its keys, and why it knows nobody", () => {
    const ring = new Keyring();
    const good = make();
    const expired = make({ expiresAtMs: 1000 });
    const revoked = make({ revokedAtMs: 5 });
    for (const { record } of [good, expired, revoked]) ring.add(record);
    expect(ring.identify(good.text, 0)).toEqual({ key: good.record, failure: null });
    expect(ring.identify(expired.text, 999).key).toBe(expired.record);
    const wrong = good.text.slice(0, -1) + (good.text.endsWith("a") ? "b" : "a");
    const why = [null, "", "pst_x", `${good.text} `, wrong, make().text, revoked.text].map(
      (text) => ring.identify(text, 0).failure,
    );
    expect(why).toEqual(["missing", "malformed", "malformed", "malformed", "wrong", "unknown", "revoked"]);
    expect(ring.identify(expired.text, 1000).failure).toBe("expired");
    expect(ring.size).toBe(3);
  });

  test("does not say that a wrong secret's key is revoked or expired", () => {
    const ring = new Keyring();
    const { text, record } = make({ revokedAtMs: 1, expiresAtMs: 1 });
    ring.add(record);
    const wrong = text.slice(0, -1) + (text.endsWith("a") ? "b" : "a");
    expect(ring.identify(wrong, 5).failure).toBe("wrong");
  });

  test("tells those who watch a key, once, when it is revoked", () => {
    const ring = new Keyring();
    const { text, record } = make();
    const other = make();
    ring.add(record);
    ring.add(other.record);
    const told: string[] = [];
    ring.watch(record.id, () => told.push("a"));
    const stop = ring.watch(record.id, () => told.push("b"));
    ring.watch(record.id, () => told.push("c"));
    ring.watch(other.record.id, () => told.push("other"));
    stop();
    stop();
    expect(ring.revoke(record.id, 7)).toBe(true);
    expect(ring.revoke(record.id, 8)).toBe(true);
    expect(ring.revoke("nobody", 8)).toBe(false);
    expect(told).toEqual(["a", "c"]);
    expect(ring.identify(text, 0).failure).toBe("revoked");
    expect(ring.find(record.id)?.revokedAtMs).toBe(7);
    expect(ring.watching).toBe(1);
  });

  test("lets a watcher stop others and watch again while it is told", () => {
    const ring = new Keyring();
    const { record } = make();
    ring.add(record);
    const stops: (() => void)[] = [];
    let told = 0;
    for (let count = 0; count < 3; count++) {
      stops.push(
        ring.watch(record.id, () => {
          told++;
          for (const stop of stops) stop();
          ring.watch(record.id, () => told++);
        }),
      );
    }
    ring.revoke(record.id, 1);
    expect(told).toBe(1);
    expect(ring.watching).toBe(1);
  });

  test("takes over what the store says and tells what ended", () => {
    const ring = new Keyring();
    const [kept, gone, revoked, changed, renamed] = [make(), make(), make(), make(), make()];
    for (const { record } of [kept, gone, revoked, changed, renamed]) ring.add(record);
    const told: string[] = [];
    for (const [name, { record }] of Object.entries({ kept, gone, revoked, changed, renamed })) {
      ring.watch(record.id, () => told.push(name));
    }
    const next = [
      kept.record,
      { ...revoked.record, revokedAtMs: 3 },
      { ...changed.record, hash: make().record.hash },
      { ...renamed.record, name: "x", hash: new Uint8Array(renamed.record.hash) },
    ];
    ring.replaceAll(next);
    expect(told.sort()).toEqual(["changed", "gone", "revoked"]);
    expect(ring.identify(gone.text, 0).failure).toBe("unknown");
    expect(ring.identify(changed.text, 0).failure).toBe("wrong");
    expect(ring.identify(renamed.text, 0).key?.name).toBe("x");
  });

  test("refuses a record whose hash could match nothing", () => {
    const ring = new Keyring();
    const { record } = make();
    expect(() => ring.add({ ...record, hash: new Uint8Array(31) })).toThrow(RangeError);
    expect(() => ring.replaceAll([{ ...record, hash: new Uint8Array(0) }])).toThrow(RangeError);
    expect(ring.size).toBe(0);
  });
});
