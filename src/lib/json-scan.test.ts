import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PosternError } from "../errors.ts";
import { foldName } from "./json-name.ts";
import {
  DEFAULT_SCAN_LIMITS,
  elementsOf,
  findMember,
  MAX_READ_BYTES,
  mayHoldName,
  membersOf,
  readBoolean,
  readInteger,
  readString,
  scanBody,
} from "./json-scan.ts";
import { MAX_LISTED_MEMBERS } from "./json-scanner.ts";

function codeOf(text: string | Buffer, limits = DEFAULT_SCAN_LIMITS): string {
  try {
    scanBody(Buffer.from(text as string), limits);
    return "accepted";
  } catch (error) {
    if (error instanceof PosternError) return error.code;
    throw error;
  }
}

/** Decodes what the scan found through its spans alone. */
function rebuild(bytes: Buffer): unknown {
  const { members } = scanBody(bytes);
  return Object.fromEntries(
    members.map(({ name, valueStart, valueEnd }) => [name, JSON.parse(bytes.toString("utf8", valueStart, valueEnd))]),
  );
}

describe("scanBody()", () => {
  test("finds the spans of top-level members, white space and escapes included", () => {
    const bytes = Buffer.from(
      ' {\n"mod\\u0065l" : "a/b" ,"stream":true,"n":-1.5e3,"x":[{}],"y":{"model":1},"z":null}\r\n',
    );
    const { members } = scanBody(bytes);
    expect(
      members.map(({ name, kind, valueStart, valueEnd }) => [name, kind, bytes.toString("utf8", valueStart, valueEnd)]),
    ).toEqual([
      ["model", "string", '"a/b"'],
      ["stream", "true", "true"],
      ["n", "number", "-1.5e3"],
      ["x", "array", "[{}]"],
      ["y", "object", '{"model":1}'],
      ["z", "null", "null"],
    ]);
    expect(bytes[members[0]!.nameStart]).toBe(0x22);
  });

  test("agrees with JSON.parse on every object", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue()), fc.nat(3), (object, indent) => {
        const text = JSON.stringify(object, null, indent);
        fc.pre(new Set(Object.keys(object).map(foldName)).size === Object.keys(object).length);
        // Lone surrogates cannot be told in UTF-8; JSON.stringify escapes them, so the text survives.
        expect(rebuild(Buffer.from(text))).toEqual(JSON.parse(text));
      }),
      { numRuns: 300 },
    );
  });

  test("accepts exactly what JSON.parse accepts when bytes are changed", () => {
    const seed = '{"model":"m\\n\\u00e9","a":[1,-0.5e+10,true,null,{"b":"é"}],"s":{"t":false}}';
    const parts = fc.constantFrom(
      '"',
      "\\",
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      "0",
      "-",
      ".",
      "e",
      "u",
      "t",
      "\n",
      " ",
      "\x01",
      "/",
    );
    fc.assert(
      fc.property(fc.nat(seed.length), fc.nat(2), parts, (at, drop, part) => {
        const text = seed.slice(0, at) + part + seed.slice(at + drop);
        let isJson = true;
        try {
          const value: unknown = JSON.parse(text);
          isJson = typeof value === "object" && value !== null && !Array.isArray(value);
        } catch {
          isJson = false;
        }
        const code = codeOf(text);
        if (code !== "body_ambiguous") expect(code).toBe(isJson ? "accepted" : "body_not_json");
      }),
      { numRuns: 2000 },
    );
  });

  test("sees quotes, backslashes and control characters at every place of a long string", () => {
    // Long strings are looked at four bytes at a time, from whatever alignment the buffer has.
    for (let offset = 0; offset < 4; offset++) {
      for (let length = 60; length < 140; length++) {
        for (const [special, expected] of [
          ["\\n", "accepted"],
          ["\x1f", "body_not_json"],
          ['"', "body_not_json"],
          ["\\x", "body_not_json"],
          ["é€😀", "accepted"],
        ] as const) {
          const text = `{"a":"${"x".repeat(length)}${special}${"y".repeat(90)}","b":1}`;
          const backing = Buffer.alloc(offset + Buffer.byteLength(text) + 8, '"');
          backing.write(text, offset);
          const bytes = backing.subarray(offset, offset + Buffer.byteLength(text));
          let seen = "accepted";
          try {
            expect(scanBody(bytes).members).toHaveLength(2);
          } catch (error) {
            seen = (error as PosternError).code;
          }
          expect(seen, `${offset} ${length} ${JSON.stringify(special)}`).toBe(expected);
        }
      }
    }
  });

  test.each([
    "",
    " ",
    "null",
    "[]",
    '"model"',
    "{",
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '{,"a":1}',
    "{'a':1}",
    '{"a":01}',
    '{"a":+1}',
    '{"a":.5}',
    '{"a":1.}',
    '{"a":1e}',
    '{"a":NaN}',
    '{"a":tru}',
    '{"a":"\t"}',
    '{"a":"\\u12g4"}',
    '{"a":1}{"b":2}',
    '{"a":1} x',
    '{"a":1}\0',
    '{"a":"',
    "{a:1}",
    '{"a":1 /* no */}',
  ])("refuses %j", (text) => {
    expect(codeOf(text)).toBe("body_not_json");
  });

  test("refuses other encodings", () => {
    expect(codeOf(Buffer.from('\ufeff{"a":1}'))).toBe("body_encoding");
    expect(codeOf(Buffer.from('{"a":1}', "utf16le"))).toBe("body_not_json");
    expect(codeOf(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))).toBe("body_encoding");
    expect(codeOf(Buffer.from('{"a":"\xed\xa0\x80"}', "latin1"))).toBe("body_encoding");
  });

  test.each([
    '{"model":"a","model":"b"}',
    '{"model":"a","Model":"b"}',
    '{"model":"a","mod\\u0065l":"b"}',
    '{"stream":true,"\u017ftream":false}',
    '{"keep_alive":1,"\u212aeep_alive":2}',
    '{"\\u212aey":1,"KEY":2}',
    '{"straße":1,"STRASSE":2}',
    '{"__proto__":1,"__PROTO__":2}',
  ])("refuses %j as ambiguous", (text) => {
    expect(codeOf(text)).toBe("body_ambiguous");
  });

  test("takes __proto__ for a name like any other", () => {
    const { members } = scanBody(Buffer.from('{"__proto__":{"model":"x"},"constructor":1}'));
    expect(members.map(({ name }) => name)).toEqual(["__proto__", "constructor"]);
    expect(findMember(members, "model")).toBeUndefined();
    expect(({} as Record<string, unknown>)["model"]).toBeUndefined();
  });

  test("bounds nesting, values and listed members", () => {
    const deep = (depth: number) => `{"a":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;
    expect(codeOf(deep(64))).toBe("accepted");
    expect(codeOf(deep(65))).toBe("body_too_deep");
    expect(codeOf(deep(100_000))).toBe("body_too_deep");
    expect(codeOf('{"a":[1,2,3]}', { maxDepth: 64, maxValues: 3 })).toBe("body_too_deep");
    expect(codeOf('{"a":[1,2]}', { maxDepth: 64, maxValues: 3 })).toBe("accepted");
    const wide = (count: number) => `{${Array.from({ length: count }, (_, index) => `"n${index}":0`).join()}}`;
    expect(codeOf(wide(MAX_LISTED_MEMBERS))).toBe("accepted");
    expect(codeOf(wide(MAX_LISTED_MEMBERS + 1))).toBe("body_too_deep");
  });

  test("puts nothing of the body into its errors but names", () => {
    try {
      scanBody(Buffer.from('{"messages":"my secret prompt" oops}'));
      expect.unreachable();
    } catch (error) {
      expect(String((error as PosternError).message)).not.toContain("secret");
    }
  });
});

describe("spans", () => {
  const bytes = Buffer.from(
    '{"s":"a\\u00e9\\"b","t":true,"f":false,"i":12,"e":1e3,"d":1.5,"big":9007199254740993,"o":{"x":1,"y":[1,"2",{}]}}',
  );
  const { members } = scanBody(bytes);
  const member = (name: string) => findMember(members, name)!;

  test("are read as what they are, and as null when they are something else", () => {
    expect(readString(bytes, member("s"))).toBe('aé"b');
    expect(readString(bytes, member("i"))).toBeNull();
    expect(readBoolean(member("t"))).toBe(true);
    expect(readBoolean(member("f"))).toBe(false);
    expect(readBoolean(member("s"))).toBeNull();
    expect(readInteger(bytes, member("i"))).toBe(12);
    expect(readInteger(bytes, member("e"))).toBe(1000);
    expect(readInteger(bytes, member("d"))).toBeNull();
    expect(readInteger(bytes, member("big"))).toBeNull();
    expect(readInteger(bytes, member("s"))).toBeNull();
  });

  test("of nested objects and arrays can be listed", () => {
    const inner = membersOf(bytes, member("o"));
    expect(inner.map(({ name, kind }) => [name, kind])).toEqual([
      ["x", "number"],
      ["y", "array"],
    ]);
    expect(elementsOf(bytes, inner[1]!).map(({ kind }) => kind)).toEqual(["number", "string", "object"]);
    expect(membersOf(bytes, member("s"))).toEqual([]);
    expect(elementsOf(bytes, member("o"))).toEqual([]);
  });

  test("of nested objects are refused as ambiguous only when they are looked into", () => {
    const scan = scanBody(Buffer.from('{"options":{"num_ctx":1,"NUM_CTX":2}}'));
    expect(() => membersOf(scan.bytes, scan.members[0]!)).toThrow(expect.objectContaining({ code: "body_ambiguous" }));
  });
});

describe("mayHoldName()", () => {
  const ask = (text: string, ending: string) => mayHoldName(scanBody(Buffer.from(text)), ending);

  test("sees every nested name, however deep or escaped, and no value", () => {
    expect(ask('{"a":[[{"b":{"image_url":1}}]]}', "url")).toBe(true);
    expect(ask('{"a":{"url":1}}', "url")).toBe(true);
    expect(ask('{"a":{"image\\u005furl":1}}', "url")).toBe(true);
    expect(ask('{"a":{"ima\\u0067e":1}}', "eds")).toBe(true);
    expect(ask('{"a":{"role":"my url","content":"\\n\\u0041"}}', "url")).toBe(false);
    expect(ask('{"url":1}', "url")).toBe(false);
  });

  test("is never false when a name is there", () => {
    const name = fc.string({ minLength: 3, maxLength: 12 });
    fc.assert(
      fc.property(fc.array(name, { maxLength: 30 }), name, (others, wanted) => {
        const nested = Object.fromEntries([...others, wanted].map((one) => [one, 0]));
        fc.pre(/[!-~]{3}$/.test(wanted));
        expect(ask(JSON.stringify({ a: nested }), wanted.slice(-3))).toBe(true);
      }),
    );
  });

  test("wants three characters", () => {
    expect(() => ask("{}", "ab")).toThrow(RangeError);
  });
});

describe("after a scan", () => {
  const long = "x".repeat(3000);
  // Ends are remembered in large bodies alone.
  const large = "x".repeat(2 * 1024 * 1024);

  test("looks into the body find what a scan of its own would, also behind long values", () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.constantFrom("", "a", long, `\\"${long}`))), (lists) => {
        const text = JSON.stringify({ before: large, lists: lists.map((list) => ({ list, after: long })), last: 1 });
        const scan = scanBody(Buffer.from(text));
        const fresh = Buffer.from(text);
        const member = findMember(scan.members, "lists");
        if (member === undefined) throw new Error("not found");
        const found = elementsOf(scan.bytes, member);
        expect(found).toEqual(elementsOf(fresh, member));
        for (const element of found) expect(membersOf(scan.bytes, element)).toEqual(membersOf(fresh, element));
      }),
      { numRuns: 50 },
    );
  });

  test("the body's values and escapes are counted, below the top level too", () => {
    const { values, escapes } = scanBody(Buffer.from('{"a":[1,{"b":"\\n\\u0041"}],"\\u0063":null}'));
    expect([values, escapes]).toEqual([5, 3]);
  });
});

test("readString() reads no more of a long string than any word of ours is long", () => {
  for (const [unit, read] of [
    ["x", "x"],
    ["\\n", "\n"],
    ["\\u0041", "A"],
    ["\\\\", "\\"],
    ["é", "é"],
  ] as const) {
    for (const before of ["", "a", "ab", "abc"]) {
      const bytes = Buffer.from(`"${before}${unit.repeat(1_000_000)}"`);
      const member = {
        name: "",
        folded: "",
        kind: "string" as const,
        nameStart: 0,
        valueStart: 0,
        valueEnd: bytes.length,
      };
      const text = readString(bytes, member) ?? "";
      expect(text.length).toBeGreaterThan(500);
      expect(text.length).toBeLessThanOrEqual(MAX_READ_BYTES);
      expect((before + read.repeat(text.length)).startsWith(text.replace(/\ufffd$/, ""))).toBe(true);
    }
  }
});

test("scanBody() refuses a name that nobody would decode", () => {
  const named = (length: number) => Buffer.from(`{"${"n".repeat(length)}":1}`);
  expect(scanBody(named(1000)).members).toHaveLength(1);
  expect(() => scanBody(named(2000))).toThrow(expect.objectContaining({ code: "body_invalid" }));
  // Below the top level names are the schema's own: nobody decodes them.
  expect(scanBody(Buffer.from(`{"tools":{"${"n".repeat(2000)}":1}}`)).members).toHaveLength(1);
});

test("scanBody() passes over a row of blanks of any kind", () => {
  for (const blank of [" ", "\n", "\t \r\n"]) {
    for (let count = 0; count < 80; count++) {
      const space = blank.repeat(count);
      const { members } = scanBody(Buffer.from(`${space}{${space}"a"${space}:${space}1${space}}${space}`));
      expect(members).toMatchObject([{ name: "a", kind: "number" }]);
      expect(() => scanBody(Buffer.from(`{"a":1}${space}x`))).toThrow(
        expect.objectContaining({ code: "body_not_json" }),
      );
    }
  }
});
