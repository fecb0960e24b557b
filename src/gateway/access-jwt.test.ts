import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../lib/clock.ts";
import { checkAssertion, readKeySet } from "./access-jwt.ts";
import { AccessKeys } from "./access-keys.ts";

const NOW_MS = 1_800_000_000_000;
const NOW_S = NOW_MS / 1000;
const EXPECTED = { issuer: "https://team.cloudflareaccess.com", audience: "a".repeat(64) };
const CLAIMS = {
  iss: EXPECTED.issuer,
  aud: [EXPECTED.audience],
  exp: NOW_S + 300,
  nbf: NOW_S - 1,
  email: "x@example.org",
};

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const weak = generateKeyPairSync("rsa", { modulusLength: 1024 });
const other = generateKeyPairSync("rsa", { modulusLength: 2048 });

function jwk(key: KeyObject, kid: string, fields: object = {}): object {
  return { ...key.export({ format: "jwk" }), kid, use: "sig", ...fields };
}

const SET = JSON.stringify({
  keys: [
    jwk(rsa.publicKey, "rsa"),
    jwk(ec.publicKey, "ec"),
    jwk(weak.publicKey, "weak"),
    jwk(other.publicKey, "for-encryption", { use: "enc" }),
    { kid: "odd", kty: "oct", k: "c2VjcmV0" },
  ],
  public_cert: { kid: "rsa", cert: "…" },
});
const keys = readKeySet(SET);

function part(value: unknown): string {
  return Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
}

function token(
  claims: object = CLAIMS,
  header: object = { alg: "RS256", kid: "rsa", typ: "JWT" },
  key = rsa.privateKey,
): string {
  const text = `${part(header)}.${part(claims)}`;
  const isEc = key.asymmetricKeyType === "ec";
  const signature = sign("sha256", Buffer.from(text), isEc ? { key, dsaEncoding: "ieee-p1363" } : key);
  return `${text}.${signature.toString("base64url")}`;
}

function check(assertion: string): string | null {
  return checkAssertion(assertion, EXPECTED, (kid) => keys.get(kid), NOW_MS);
}

describe("checkAssertion()", () => {
  it("takes what the team's keys signed for this application, now", () => {
    expect(check(token())).toBeNull();
    expect(check(token({ ...CLAIMS, aud: EXPECTED.audience }))).toBeNull();
    expect(check(token(CLAIMS, { alg: "ES256", kid: "ec" }, ec.privateKey))).toBeNull();
    expect(check(token({ ...CLAIMS, exp: NOW_S - 59 }))).toBeNull();
  });

  it.each([
    ["another team's", token({ ...CLAIMS, iss: "https://evil.cloudflareaccess.com" }), /another team/],
    ["another application's", token({ ...CLAIMS, aud: ["b".repeat(64)] }), /another application/],
    ["an expired one", token({ ...CLAIMS, exp: NOW_S - 61 }), /expired/],
    ["one of tomorrow", token({ ...CLAIMS, nbf: NOW_S + 61 }), /not valid yet/],
    ["one without an end", token({ ...CLAIMS, exp: undefined }), /claims/],
    ["an unknown key's", token(CLAIMS, { alg: "RS256", kid: "nobody" }), /not known/],
    ["a stranger's with a known id", token(CLAIMS, { alg: "RS256", kid: "rsa" }, other.privateKey), /signature/],
    ["a weak key's", token(CLAIMS, { alg: "RS256", kid: "weak" }, weak.privateKey), /not known/],
    [
      "one signed with a key for encryption",
      token(CLAIMS, { alg: "RS256", kid: "for-encryption" }, other.privateKey),
      /not known/,
    ],
    ["one that says no algorithm", token(CLAIMS, { alg: "none", kid: "rsa" }), /header/],
    ["one that makes a public key a shared secret", token(CLAIMS, { alg: "HS256", kid: "rsa" }), /header/],
    ["one whose algorithm is not its key's", token(CLAIMS, { alg: "ES256", kid: "rsa" }), /not its key's/],
    ["one with demands that are not known", token(CLAIMS, { alg: "RS256", kid: "rsa", crit: ["x"] }), /header/],
    ["one without a signature", `${token().split(".").slice(0, 2).join(".")}.`, /no signed token/],
    ["nothing", "", /no signed token/],
    ["something endless", "a".repeat(20_000), /too long/],
  ])("refuses %s", (_what, assertion, why) => {
    expect(check(assertion)).toMatch(why);
  });

  it("refuses every change of a single character, and never throws", () => {
    const good = token();
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.constantFrom(..."AZaz09-_.="), (at, letter) => {
        const changed = good.slice(0, at) + letter + good.slice(at + 1);
        // The last letters of a part carry bits that decoding drops.
        const isSame = changed
          .split(".")
          .every((one, index) =>
            Buffer.from(one, "base64url").equals(Buffer.from(good.split(".")[index] ?? "", "base64url")),
          );
        if (changed.split(".").length !== 3 || !isSame) expect(check(changed)).not.toBeNull();
      }),
      { numRuns: 500 },
    );
    fc.assert(fc.property(fc.string(), (text) => check(text) !== null));
  });
});

describe("readKeySet()", () => {
  it("takes what can be used and refuses a set without", () => {
    expect([...keys.keys()]).toEqual(["rsa", "ec"]);
    for (const text of ["", "{}", '{"keys":[]}', '{"keys":[{"kid":"a","kty":"oct","k":"AA"}]}', "[]", "<html>"]) {
      expect(() => readKeySet(text)).toThrow();
    }
  });
});

describe("AccessKeys", () => {
  function open(load: () => Promise<string>) {
    const clock = new ManualClock();
    const failures: unknown[] = [];
    const all = new AccessKeys({ load, clock, onFailure: (error) => failures.push(error) });
    return { all, clock, failures };
  }
  const settle = () => new Promise((resolve) => setImmediate(resolve));

  it("asks again for a key that it does not know, at most once a minute", async () => {
    let loads = 0;
    const { all, clock } = open(async () => {
      loads++;
      return SET;
    });
    await all.start();
    expect(all.find("rsa")?.algorithm).toBe("RS256");
    for (let count = 0; count < 100; count++) expect(all.find(`made-up-${count}`)).toBeUndefined();
    expect(loads).toBe(1);
    clock.advance(60_000);
    all.find("made-up");
    all.find("made-up");
    await settle();
    expect(loads).toBe(2);
    all.stop();
    expect(clock.pendingTimers).toBe(0);
  });

  it("keeps the keys that it has when they cannot be read again, for a day", async () => {
    let isUp = true;
    const { all, clock, failures } = open(async () => {
      if (!isUp) throw new Error("away");
      return SET;
    });
    await all.start();
    isUp = false;
    for (let hour = 0; hour < 23; hour++) {
      clock.advance(3_600_000);
      await settle();
    }
    expect(failures.length).toBeGreaterThan(0);
    expect(all.find("rsa")).toBeDefined();
    clock.advance(3_600_000);
    await settle();
    expect(all.find("rsa")).toBeUndefined();
    await settle();
    isUp = true;
    clock.advance(60_000);
    await settle();
    expect(all.find("rsa")).toBeDefined();
    all.stop();
  });

  it("starts without keys, and refuses until there are some", async () => {
    const { all, failures } = open(() => Promise.reject(new Error("away")));
    await all.start();
    expect(failures).toHaveLength(1);
    expect(all.find("rsa")).toBeUndefined();
    all.stop();
  });
});
