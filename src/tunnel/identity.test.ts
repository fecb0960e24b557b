import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { fingerprintOf, Identity, isTrusted, type Succession, signSuccessor, verifySignature } from "./identity.ts";

describe("Identity", () => {
  test("survives being written and read, and signs the same", () => {
    const identity = Identity.create();
    const again = Identity.parse(identity.serialise());
    expect(again.fingerprint).toBe(identity.fingerprint);
    expect(Buffer.from(again.publicKey)).toEqual(Buffer.from(identity.publicKey));
    expect(verifySignature(identity.publicKey, Buffer.from("message"), again.sign(Buffer.from("message")))).toBe(true);
  });

  test("has a fingerprint of 43 base64url characters and a raw key of 32 bytes", () => {
    const identity = Identity.create();
    expect(identity.publicKey).toHaveLength(32);
    expect(identity.fingerprint).toMatch(/^[0-9A-Za-z_-]{43}$/);
    expect(identity.fingerprint).toBe(fingerprintOf(identity.publicKey));
  });

  test("never prints its private key", () => {
    const identity = Identity.create();
    const secret = identity.serialise().toString("latin1").split(" ")[1]!.trim();
    for (const printed of [inspect(identity), JSON.stringify(identity), String(identity)]) {
      expect(printed).not.toContain(secret.slice(-40));
    }
  });

  test.each([["", "x", "postern-identity-1 ", "postern-identity-1 AAAA", "postern-identity-2 AAAA"]].flat())(
    "refuses to read %j without repeating it",
    (text) => {
      expect(() => Identity.parse(Buffer.from(text))).toThrow("Cannot read the identity");
    },
  );
});

describe("verifySignature()", () => {
  test("refuses another message, another key, a cut signature and keys of the wrong length", () => {
    const identity = Identity.create();
    const message = Buffer.from("message");
    const signature = identity.sign(message);
    expect(verifySignature(identity.publicKey, message, signature)).toBe(true);
    expect(verifySignature(identity.publicKey, Buffer.from("massage"), signature)).toBe(false);
    expect(verifySignature(Identity.create().publicKey, message, signature)).toBe(false);
    expect(verifySignature(identity.publicKey, message, signature.subarray(1))).toBe(false);
    expect(verifySignature(identity.publicKey.subarray(1), message, signature)).toBe(false);
    expect(verifySignature(new Uint8Array(32), message, signature)).toBe(false);
  });
});

describe("isTrusted()", () => {
  const identities = Array.from({ length: 6 }, () => Identity.create());
  const chain = (from: number, to: number): Succession[] =>
    identities
      .slice(from, to)
      .map((identity, index) => signSuccessor(identity, identities[from + index + 1]!.publicKey));

  test("trusts the key itself, with or without a chain", () => {
    const [first] = identities;
    expect(isTrusted(first!.fingerprint, first!.publicKey, [])).toBe(true);
    expect(isTrusted(first!.fingerprint, identities[1]!.publicKey, [])).toBe(false);
  });

  test("follows up to four successions, also from the middle of the chain", () => {
    expect(isTrusted(identities[0]!.fingerprint, identities[4]!.publicKey, chain(0, 4))).toBe(true);
    expect(isTrusted(identities[2]!.fingerprint, identities[4]!.publicKey, chain(0, 4))).toBe(true);
  });

  test("refuses a fifth succession, a gap, a foreign signature and a swapped order", () => {
    const [first] = identities;
    expect(isTrusted(first!.fingerprint, identities[5]!.publicKey, chain(0, 5))).toBe(false);
    expect(isTrusted(first!.fingerprint, identities[3]!.publicKey, [...chain(0, 1), ...chain(2, 3)])).toBe(false);
    const forged = { publicKey: first!.publicKey, signature: chain(1, 2)[0]!.signature };
    expect(isTrusted(first!.fingerprint, identities[2]!.publicKey, [forged])).toBe(false);
    expect(isTrusted(first!.fingerprint, identities[2]!.publicKey, chain(0, 2).reverse())).toBe(false);
  });
});
