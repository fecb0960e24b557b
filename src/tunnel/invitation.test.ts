import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Identity } from "./identity.ts";
import { createInvitation, hashInvitationSecret, parseInvitation } from "./invitation.ts";

const { fingerprint } = Identity.create();

describe("parseInvitation()", () => {
  test("reads what createInvitation() made, and the hash fits the secret", () => {
    const made = createInvitation(fingerprint);
    const read = parseInvitation(` ${made.code.reveal()}\n`);
    expect(read).toMatchObject({ id: made.id, gatewayFingerprint: fingerprint });
    expect(hashInvitationSecret(read!.secret.reveal())).toEqual(made.hash);
    expect(String(made.code)).toBe("***");
  });

  test("refuses every code with one character changed to one outside the alphabet, dropped or doubled", () => {
    const code = createInvitation(fingerprint).code.reveal();
    fc.assert(
      fc.property(fc.nat(code.length - 1), fc.constantFrom("", "!", "é", " ", "="), (at, replacement) => {
        expect(parseInvitation(code.slice(0, at) + replacement + code.slice(at + 1))).toBeNull();
      }),
    );
  });

  test("accepts one spelling of each secret only", () => {
    const code = createInvitation(fingerprint).code.reveal();
    const last = code.indexOf("_", 5) + 43;
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const twin = alphabet[alphabet.indexOf(code[last]!) ^ 1]!;
    expect(parseInvitation(code)).not.toBeNull();
    expect(parseInvitation(code.slice(0, last) + twin + code.slice(last + 1))).toBeNull();
  });

  test("refuses arbitrary text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 130 }), (text) => {
        expect(parseInvitation(text)).toBeNull();
      }),
    );
  });
});
