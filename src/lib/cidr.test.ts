import { isIP } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AddressSet, formatPrefix, readPrefix } from "./cidr.ts";
import { canonicalAddress } from "./ip-address.ts";

const v4 = fc.ipV4();
const v6 = fc.ipV6();
const address = fc.oneof(v4, v6);

/** Bit by bit, with strings of zeros and ones: as slow and as plain as it can be. */
function naiveBits(text: string): string {
  if (!text.includes(":"))
    return `4${text
      .split(".")
      .map((octet) => Number(octet).toString(2).padStart(8, "0"))
      .join("")}`;
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const hex = (high?: string, low?: string) => (Number(high) * 256 + Number(low)).toString(16);
  const plain = dotted === null ? text : `${dotted[1]}${hex(dotted[2], dotted[3])}:${hex(dotted[4], dotted[5])}`;
  const [head = "", tail] = plain.split("::");
  const first = head === "" ? [] : head.split(":");
  const last = tail === undefined || tail === "" ? [] : tail.split(":");
  const all = tail === undefined ? first : [...first, ...Array(8 - first.length - last.length).fill("0"), ...last];
  const bits = all.map((group: string) => Number.parseInt(group, 16).toString(2).padStart(16, "0")).join("");
  const mapped = `${"0".repeat(80)}${"1".repeat(16)}`;
  return bits.startsWith(mapped) ? `4${bits.slice(96)}` : `6${bits}`;
}

function naiveText(bits: string): string {
  const groups = bits.slice(1).match(bits.startsWith("4") ? /.{8}/g : /.{16}/g) ?? [];
  const numbers = groups.map((group) => Number.parseInt(group, 2));
  return bits.startsWith("4") ? numbers.join(".") : numbers.map((one) => one.toString(16)).join(":");
}

// Few distinct bits, so that prefixes nest and touch often.
const crowded = fc
  .tuple(
    fc.constantFrom("4", "6"),
    fc.array(fc.constantFrom("0", "1"), { minLength: 6, maxLength: 6 }),
    fc.constantFrom("0", "1"),
  )
  .map(([version, head, rest]) => `${version}${head.join("").padEnd(version === "4" ? 32 : 128, rest)}`);
const prefix = fc.tuple(fc.oneof(crowded, address.map(naiveBits)), fc.nat({ max: 128 })).map(([bits, cut]) => {
  const width = bits.length - 1;
  // Half of the time short, where the crowd is.
  const length = cut % 2 === 0 ? cut % (width + 1) : cut % 9;
  return {
    bits: bits.slice(0, 1 + length),
    text: `${naiveText(bits.slice(0, 1 + length).padEnd(1 + width, "0"))}/${length}`,
  };
});

describe("readPrefix()", () => {
  it("reads addresses and ranges of both families", () => {
    for (const text of ["192.0.2.7", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "::/0", "::1", "fe80::1:2"]) {
      const { prefix: read } = readPrefix(text);
      expect(read === null ? null : formatPrefix(read)).toBe(text);
    }
  });

  it("takes an IPv4 address that is mapped into IPv6 for what it is", () => {
    expect(readPrefix("::ffff:192.0.2.7")).toEqual(readPrefix("192.0.2.7"));
    expect(readPrefix("::FFFF:C000:0207")).toEqual(readPrefix("192.0.2.7"));
    expect(readPrefix("::ffff:10.0.0.0/104")).toEqual(readPrefix("10.0.0.0/8"));
    expect(readPrefix("::ffff:10.0.0.0/95").fault).toMatch(/from 96 to 128/);
  });

  it("refuses what two programs could read as two addresses", () => {
    const bad = [
      "",
      " 10.0.0.1",
      "10.0.0.1 ",
      "010.0.0.1",
      "10.0.0.01",
      "0x0a.0.0.1",
      "10.1",
      "167772161",
      "10.0.0.256",
    ];
    const worse = [
      "10.0.0.1.",
      "10.0.0.0.0",
      "10..0.1",
      "fe80::1%eth0",
      "[::1]",
      "1::2::3",
      ":1",
      "1:",
      "1:2:3:4:5:6:7",
    ];
    const worst = [
      "1:2:3:4:5:6:7:8:9",
      "1:2:3:4:5:6:7:8::",
      "12345::",
      "::1.2.3",
      "::1.2.3.4.5",
      "1:2:3:4:5:6:7:1.2.3.4",
      ":::",
      "::g",
    ];
    for (const text of [...bad, ...worse, ...worst, "１０.0.0.1", "::ffff:010.0.0.1"]) {
      expect([text, readPrefix(text).prefix]).toEqual([text, null]);
    }
  });

  it("refuses lengths that are none", () => {
    for (const text of [
      "10.0.0.0/",
      "10.0.0.0/33",
      "10.0.0.0/-1",
      "10.0.0.0/08",
      "10.0.0.0/8/8",
      "::/129",
      "::/+1",
      "10.0.0.0/ 8",
    ]) {
      expect([text, readPrefix(text).fault]).toEqual([text, expect.stringMatching(/prefix length/)]);
    }
  });

  it("refuses bits beyond the prefix and says both things that may have been meant", () => {
    expect(readPrefix("10.1.2.3/24").fault).toBe(
      "has bits beyond its prefix: write 10.1.2.0/24 for the range, or 10.1.2.3 for the address",
    );
    expect(readPrefix("2001:db8::1/32").fault).toMatch(/write 2001:db8::\/32 for the range, or 2001:db8::1 for/);
  });

  it("agrees with Node about what an address is, zone ids apart", () => {
    const text = fc.oneof(address, fc.string({ unit: fc.constantFrom(..."0123456789abcdefF:.::") }), fc.string());
    fc.assert(
      fc.property(text, (one) => {
        expect(canonicalAddress(one) !== null).toBe(isIP(one) !== 0 && !one.includes("%"));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("canonicalAddress()", () => {
  it("writes every address in one way", () => {
    expect(canonicalAddress("::ffff:192.0.2.1")).toBe("192.0.2.1");
    expect(canonicalAddress("2001:DB8:0:0:1:0:0:1")).toBe("2001:db8::1:0:0:1");
    expect(canonicalAddress("2001:db8:0:1:1:1:1:1")).toBe("2001:db8:0:1:1:1:1:1");
    expect(canonicalAddress("0:0:0:0:0:0:0:0")).toBe("::");
    expect(canonicalAddress("64:ff9b::192.0.2.33")).toBe("64:ff9b::c000:221");
    expect(canonicalAddress("255.255.255.255")).toBe("255.255.255.255");
  });

  it("keeps the bits and is settled after one pass", () => {
    fc.assert(
      fc.property(address, (text) => {
        const once = canonicalAddress(text);
        expect(naiveBits(once ?? "")).toBe(naiveBits(text));
        expect(canonicalAddress(once ?? "")).toBe(once);
      }),
    );
  });
});

describe("AddressSet", () => {
  it("finds the longest prefix that holds the address, as comparing bit by bit does", () => {
    fc.assert(
      fc.property(
        fc.array(prefix, { maxLength: 30 }),
        fc.array(fc.oneof(crowded, address.map(naiveBits)), { minLength: 1 }),
        (prefixes, asked) => {
          const set = AddressSet.of(prefixes.map((one) => one.text));
          for (const bits of asked) {
            const holding = prefixes.filter((one) => bits.startsWith(one.bits));
            const longest = holding.reduce<string | null>(
              (best, one) => (best === null || one.bits.length > best.length ? one.bits : best),
              null,
            );
            const expected = longest === null ? -1 : prefixes.findIndex((one) => one.bits === longest);
            expect(set.find(naiveText(bits))).toBe(expected);
            expect(set.matches(naiveText(bits))).toBe(expected !== -1);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it("holds the first and the last address of all, and keeps the families apart", () => {
    const all4 = AddressSet.of(["0.0.0.0/0"]);
    expect(["0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"].every((one) => all4.matches(one))).toBe(true);
    expect(all4.matches("::1")).toBe(false);
    const all6 = AddressSet.of(["::/0"]);
    expect(["::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"].every((one) => all6.matches(one))).toBe(true);
    expect(all6.matches("1.2.3.4")).toBe(false);
    expect(
      AddressSet.of(["255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]).matches("255.255.255.254"),
    ).toBe(false);
  });

  it("holds nothing that is no address", () => {
    const everything = AddressSet.of(["0.0.0.0/0", "::/0"]);
    for (const text of ["", "unknown", "1.2.3", "fe80::1%eth0", "_hidden"])
      expect(everything.matches(text)).toBe(false);
  });

  it("is empty without prefixes", () => {
    expect(AddressSet.of([]).find("192.0.2.1")).toBe(-1);
  });

  it("says which text is wrong", () => {
    expect(() => AddressSet.of(["10.0.0.0/8", "10.0.0.1/8"])).toThrow(/"10\.0\.0\.1\/8" has bits/);
  });
});
