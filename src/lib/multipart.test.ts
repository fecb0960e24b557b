import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PosternError } from "../errors.ts";
import { type BuiltPart, buildForm, parseForm, readBoundary } from "./multipart.ts";

const B = "xYzBOUNDARY";
const head = (name: string, more = "") => `Content-Disposition: form-data; name="${name}"${more}\r\n`;
const part = (name: string, value: string, more = "") => `--${B}\r\n${head(name, more)}\r\n${value}\r\n`;
const END = `--${B}--\r\n`;

const parse = (text: string) => parseForm(Buffer.from(text, "latin1"), B);

function refusal(read: () => unknown): PosternError {
  try {
    read();
  } catch (error) {
    if (error instanceof PosternError) return error;
    throw error;
  }
  throw new Error("was not refused");
}

describe("readBoundary()", () => {
  test.each([
    ["multipart/form-data; boundary=abcd1234", "abcd1234"],
    ["Multipart/Form-Data;boundary=abcd1234 ", "abcd1234"],
    ['multipart/form-data; boundary="abc def:g"', "abc def:g"],
    ["multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW", "----WebKitFormBoundary7MA4YWxkTrZu0gW"],
  ])("reads %s", (type, boundary) => {
    expect(readBoundary(type)).toBe(boundary);
  });

  test.each([
    undefined,
    "",
    "application/json",
    "multipart/mixed; boundary=abcd1234",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=abc1234",
    'multipart/form-data; boundary=""',
    'multipart/form-data; boundary="abcd1234 "',
    "multipart/form-data; boundary=abcd1234; boundary=abcd1235",
    "multipart/form-data; charset=utf-8; boundary=abcd1234",
    "multipart/form-data; boundary=abcd1234, multipart/form-data; boundary=abcd1235",
    "multipart/form-data; boundary=abcd1234\u00e9",
    'multipart/form-data; boundary="abcd\\"1234"',
    `multipart/form-data; boundary=${"a".repeat(71)}`,
    "xmultipart/form-data; boundary=abcd1234",
  ])("refuses %s", (type) => {
    expect(refusal(() => readBoundary(type)).code).toBe("body_not_form");
  });
});

describe("parseForm()", () => {
  test("reads fields and files as their bytes, empty ones too, and headers in any case", () => {
    const file = `--${B}\r\ncontent-type: audio/wav\r\nCONTENT-DISPOSITION: form-data; filename="a \\"b\\".wav"; name=file\r\n\r\n\r\nRIFF\r\n\r\n`;
    const parts = parse(part("model", "m") + part("prompt", "") + file + END);
    expect(parts.map(({ name, fileName, value }) => [name, fileName, value.toString()])).toEqual([
      ["model", null, "m"],
      ["prompt", null, ""],
      ["file", 'a \\"b\\".wav', "\r\nRIFF\r\n"],
    ]);
  });

  test("does without the last line end, and takes headers that say nothing", () => {
    const odd = `--${B}\r\n${head("a")}Content-Length: 1\r\nContent-Transfer-Encoding: binary\r\n\r\n1\r\n--${B}--`;
    expect(parse(odd).map(({ name }) => name)).toEqual(["a"]);
  });

  test("reads what Node's own FormData writes, names of files beyond ASCII included", async () => {
    const form = new FormData();
    form.append("model", "größe/7b");
    form.append("file", new Blob([new Uint8Array([0, 13, 10, 45, 45, 255])]), 'Größe "1".mp3');
    const sent = new Response(form);
    const boundary = readBoundary(sent.headers.get("content-type") ?? undefined);
    const [model, file] = parseForm(Buffer.from(await sent.arrayBuffer()), boundary);
    expect(model?.value.toString()).toBe("größe/7b");
    expect([...(file?.value ?? [])]).toEqual([0, 13, 10, 45, 45, 255]);
    expect(file?.fileName?.endsWith(".mp3")).toBe(true);
  });

  const good = part("a", "1");
  test.each([
    ["nothing", ""],
    ["another boundary", `--other\r\n${head("a")}\r\n1\r\n--other--\r\n`],
    ["something before it", `preamble\r\n${good}${END}`],
    ["a line end before it", `\r\n${good}${END}`],
    ["something behind it", `${good}${END}epilogue`],
    ["two line ends behind it", `${good}${END}\r\n`],
    ["no end", good],
    ["no part", END],
    ["a boundary with spaces behind it", `--${B} \r\n${head("a")}\r\n1\r\n${END}`],
    ["a line that begins like the boundary", part("a", `x\r\n--${B}y\r\nz`) + END],
    ["a value that begins with the boundary", `--${B}\r\n${head("a")}\r\n--${B}\r\n${head("b")}\r\n1\r\n${END}`],
    ["line feeds alone", (good + END).replaceAll("\r\n", "\n")],
    ["no headers", `--${B}\r\n\r\n1\r\n${END}`],
    ["no name", `--${B}\r\nContent-Disposition: form-data\r\n\r\n1\r\n${END}`],
    ["an empty name", part("", "1") + END],
    ["two names", part("a", "1", '; name="b"') + END],
    ["two names of files", part("a", "1", '; filename="b"; filename="c"') + END],
    ["an unknown parameter", part("a", "1", '; x="b"') + END],
    ["a quote that does not end", `--${B}\r\nContent-Disposition: form-data; name="a\r\n\r\n1\r\n${END}`],
    ["an attachment", (good + END).replace("form-data", "attachment")],
    ["a folded header", `--${B}\r\nContent-Disposition: form-data;\r\n name="a"\r\n\r\n1\r\n${END}`],
    ["a header twice", `--${B}\r\n${head("a")}${head("b")}\r\n1\r\n${END}`],
    ["a header without a name", `--${B}\r\n${head("a")}: x\r\n\r\n1\r\n${END}`],
    ["a header with a space before its colon", `--${B}\r\n${head("a").replace(":", " :")}\r\n1\r\n${END}`],
    ["a control character in a header", `--${B}\r\n${head("a\u0000")}\r\n1\r\n${END}`],
    ["an encoding", `--${B}\r\n${head("a")}Content-Transfer-Encoding: base64\r\n\r\nMQ==\r\n${END}`],
    [
      "too many headers",
      `--${B}\r\n${head("a")}${Array.from({ length: 9 }, (_, at) => `X-${at}: 1\r\n`).join("")}\r\n1\r\n${END}`,
    ],
    ["a head too long", `--${B}\r\n${head("a")}X: ${"x".repeat(5000)}\r\n\r\n1\r\n${END}`],
  ])("refuses %s", (_what, text) => {
    expect(refusal(() => parse(text)).code).toBe("body_not_form");
  });

  test("refuses more parts than it has room for", () => {
    expect(refusal(() => parse(part("a", "1").repeat(33) + END)).code).toBe("body_too_deep");
    expect(parse(part("a", "1").repeat(32) + END)).toHaveLength(32);
  });
});

const built: fc.Arbitrary<BuiltPart> = fc.record({
  name: fc.stringMatching(/^[a-z_]{1,12}(\[\])?$/),
  file: fc.option(fc.record({ name: fc.stringMatching(/^[a-z.]{1,12}$/), type: fc.constant("audio/wav") })),
  value: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
});

test("buildForm() and parseForm() are each other's inverse, whatever the values hold", () => {
  fc.assert(
    fc.property(fc.array(built, { minLength: 1, maxLength: 6 }), (parts) => {
      const form = buildForm(parts, "postern-0123456789abcdef");
      expect(parseForm(form, "postern-0123456789abcdef")).toEqual(
        parts.map(({ name, file, value }) => ({ name, fileName: file?.name ?? null, value })),
      );
    }),
  );
});

test("a form that was changed anywhere is read or refused, and never anything else", () => {
  const pieces = [
    `--${B}`,
    "--",
    "\r\n",
    "\r",
    "\n",
    '"',
    ";",
    ":",
    " ",
    'name="a"',
    "Content-Disposition: form-data",
    "\u0000",
    "\u00ff",
  ];
  const edit = fc.record({ at: fc.nat(), cut: fc.nat(30), piece: fc.constantFrom(...pieces) });
  const whole = part("model", "m") + part("file", "RIFF", '; filename="a.wav"') + END;
  let read = 0;
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
      let text = whole;
      for (const { at, cut, piece } of edits) {
        const place = at % (text.length + 1);
        text = text.slice(0, place) + piece + text.slice(place + cut);
      }
      try {
        const parts = parse(text);
        read += 1;
        // What is read can be built, and says the same then.
        const again = parts.map(({ name, value }) => ({ name, file: null, value }));
        if (parts.every(({ name }) => /^[a-z]+$/.test(name))) {
          expect(parseForm(buildForm(again, "other-boundary"), "other-boundary").map((one) => one.value)).toEqual(
            parts.map((one) => one.value),
          );
        }
      } catch (error) {
        if (!(error instanceof PosternError)) throw error;
        expect(["body_not_form", "body_too_deep"]).toContain(error.code);
      }
    }),
    { numRuns: 3000 },
  );
  expect(read).toBeGreaterThan(100);
});
