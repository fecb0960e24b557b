import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { keyRecord } from "../../test/support/key-record.ts";
import type { KeyRecord } from "./key.ts";
import { createKey } from "./key-format.ts";
import { Keyring } from "./keyring.ts";
import type { KeyPolicy } from "./policy.ts";

function make(more: Partial<KeyRecord> = {}, policy: Partial<KeyPolicy> = {}): { text: string; record: KeyRecord } {
  const { key, id, hash } = createKey(randomBytes);
  return { text: key.reveal(), record: keyRecord({ id, hash, ...more }, policy) };
}

function otherSecret(text: string): string {
  return text.slice(0, -1) + (text.endsWith("a") ? "b" : "a");
}

describe("Keyring", () => {
  test("knows its keys, and why it knows nobody", () => {
    const ring = new Keyring();
    const good = make();
    const timed = make({}, { notBeforeMs: 500, expiresAtMs: 1000 });
    const revoked = make({ revokedAtMs: 5 });
    const disabled = make({ disabledAtMs: 5 });
    for (const { record } of [good, timed, revoked, disabled]) ring.put(record);
    expect(ring.identify(good.text, 0)).toMatchObject({ key: { record: good.record }, failure: null });
    expect(ring.identify(timed.text, 999).key?.record).toBe(timed.record);
    const why = [
      null,
      "",
      "pst_x",
      `${good.text} `,
      otherSecret(good.text),
      make().text,
      revoked.text,
      disabled.text,
    ].map((text) => ring.identify(text, 0).failure);
    expect(why).toEqual(["missing", "malformed", "malformed", "malformed", "wrong", "unknown", "revoked", "disabled"]);
    expect(ring.identify(timed.text, 499).failure).toBe("early");
    expect(ring.identify(timed.text, 1000).failure).toBe("expired");
    expect(ring.size).toBe(4);
  });

  test("does not say that a wrong secret's key is revoked or expired", () => {
    const ring = new Keyring();
    const { text, record } = make({ revokedAtMs: 1 }, { expiresAtMs: 1 });
    ring.put(record);
    expect(ring.identify(otherSecret(text), 5).failure).toBe("wrong");
  });

  test("takes both secrets of a rotated key until the grace ends, and then the new one alone", () => {
    const ring = new Keyring();
    const old = make();
    const next = createKey(randomBytes, old.record.id);
    ring.put({ ...old.record, hash: next.hash, previousHash: old.record.hash, previousUntilMs: 1000 });
    const both = [old.text, next.key.reveal()];
    expect(both.map((text) => ring.identify(text, 999).key?.id)).toEqual([old.record.id, old.record.id]);
    // The hashes stay what they are while others are identified: running requests are judged by them again.
    const other = make();
    ring.put(other.record);
    const shown = both.map((text) => ring.identify(text, 999).hash);
    ring.identify(other.text, 999);
    expect(shown).toEqual([old.record.hash, next.hash]);
    expect(shown.map((hash) => hash !== null && ring.find(old.record.id)?.isSecret(hash, 1000))).toEqual([false, true]);
    expect(both.map((text) => ring.identify(text, 1000).failure)).toEqual(["wrong", null]);
  });

  test("allows nothing to a key whose policy is damaged or of a newer version", () => {
    const ring = new Keyring();
    for (const policy of ["", "{", "[]", '{"version":2}', '{"version":1,"capture":true}']) {
      const { text, record } = make({ policy });
      ring.put(record);
      expect(ring.identify(text, 2).failure, policy).toBe("expired");
    }
  });

  test("tells those who watch a key what it is now, and nobody else", () => {
    const ring = new Keyring();
    const { record } = make();
    const other = make();
    ring.put(record);
    ring.put(other.record);
    const told: string[] = [];
    ring.watch(record.id, (key) => told.push(`a ${key?.record.revokedAtMs}`));
    const stop = ring.watch(record.id, () => told.push("b"));
    ring.watch(other.record.id, () => told.push("other"));
    stop();
    stop();
    ring.put({ ...record, revokedAtMs: 7 });
    expect(told).toEqual(["a 7"]);
    expect(ring.watching).toBe(2);
  });

  test("lets a watcher stop others and watch again while it is told", () => {
    const ring = new Keyring();
    const { record } = make();
    ring.put(record);
    const stops: (() => void)[] = [];
    let told = 0;
    for (let count = 0; count < 3; count++) {
      stops.push(
        ring.watch(record.id, () => {
          told++;
          for (const stop of stops) stop();
          ring.watch(record.id, () => {});
        }),
      );
    }
    ring.put({ ...record, disabledAtMs: 1 });
    expect(told).toBe(1);
    expect(ring.watching).toBe(1);
  });

  test("takes over what the store says, and tells those who watch", () => {
    const ring = new Keyring();
    const [kept, gone, changed] = [make(), make(), make()];
    for (const { record } of [kept, gone, changed]) ring.put(record);
    const told: [string, string | undefined][] = [];
    for (const [name, { record }] of Object.entries({ gone, changed })) {
      ring.watch(record.id, (key) => told.push([name, key?.record.name]));
    }
    ring.replaceAll([kept.record, { ...changed.record, name: "x", hash: make().record.hash }]);
    expect(told).toEqual([
      ["gone", undefined],
      ["changed", "x"],
    ]);
    expect(ring.identify(gone.text, 0).failure).toBe("unknown");
    expect(ring.identify(changed.text, 0).failure).toBe("wrong");
    expect(ring.identify(kept.text, 0).failure).toBeNull();
  });

  test("refuses a record whose hash could match nothing", () => {
    const ring = new Keyring();
    const { record } = make();
    expect(() => ring.put({ ...record, hash: new Uint8Array(31) })).toThrow(RangeError);
    expect(() => ring.put({ ...record, previousHash: new Uint8Array(0) })).toThrow(RangeError);
    expect(() => ring.replaceAll([{ ...record, hash: new Uint8Array(0) }])).toThrow(RangeError);
    expect(ring.size).toBe(0);
  });
});
