import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createKey, hashKey, KEY_LENGTH, parseKey } from "./key-format.ts";

describe("createKey()", () => {
  test("makes keys of the promised form that parse back", () => {
    const seen = new Set<string>();
    for (let count = 0; count < 200; count++) {
      const { key, id, hash } = createKey(randomBytes);
      expect(key.reveal()).toMatch(/^pst_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}$/);
      expect(parseKey(key.reveal())).toEqual({ id });
      expect(Buffer.from(hash).equals(hashKey(key.reveal()))).toBe(true);
      expect(hash).toHaveLength(32);
      expect(String(key)).toBe("***");
      seen.add(key.reveal());
    }
    expect(seen.size).toBe(200);
  });

  test("throws away the bytes that would favour some characters", () => {
    // 248 is the largest multiple of 62 in a byte: the eight values above it would come out as 0 to 7 once more.
    const bytes = [...Array.from({ length: 8 }, (_, at) => 248 + at), 61, 62, 247];
    let next = 0;
    const { key } = createKey((size) => Uint8Array.from({ length: size }, () => bytes[next++ % bytes.length] ?? 0));
    expect(new Set(key.reveal().slice(4).replace("_", ""))).toEqual(new Set(["z", "0"]));
  });
});

describe("parseKey()", () => {
  const good = createKey(randomBytes).key.reveal();

  test("refuses everything that is a character away", () => {
    fc.assert(
      fc.property(
        fc.nat(KEY_LENGTH - 1),
        fc.constantFrom("_", "-", " ", "é", "\0", "/", "@", "[", "`", "{", "\ud800"),
        (at, character) => {
          const text = good.slice(0, at) + character + good.slice(at + 1);
          fc.pre(text !== good);
          expect(parseKey(text)).toBeNull();
        },
      ),
    );
    for (const text of [
      "",
      "pst_",
      good.slice(1),
      good.slice(0, -1),
      `${good}a`,
      ` ${good}`,
      good.replace("pst", "PST"),
      "x".repeat(1_000_000),
    ]) {
      expect(parseKey(text)).toBeNull();
    }
  });

  test("accepts the form and nothing else", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^pst_[0-9A-Za-z]{11,13}_[0-9A-Za-z]{42,44}$/)), (text) => {
        expect(parseKey(text) !== null).toBe(
          /^pst_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}$/.test(text) && text.length === KEY_LENGTH,
        );
      }),
    );
  });
});
