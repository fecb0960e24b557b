import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RecordTemplate } from "./record-template.ts";

function parse(data: string): string | null {
  try {
    const value = JSON.parse(data) as { t?: unknown; a?: unknown; b?: unknown };
    return typeof value.t === "string" && value.a === "é" && value.b === undefined ? value.t : null;
  } catch {
    return null;
  }
}

function learnt(data: string, text: string): RecordTemplate {
  const template = new RecordTemplate(parse);
  template.learn("data: ", data, text);
  return template;
}

function match(template: RecordTemplate, text: string, lead = ""): string | null {
  const bytes = Buffer.from(lead + text);
  const at = Buffer.byteLength(lead);
  return template.match(bytes, at, bytes.length) === at ? null : template.text;
}

describe("RecordTemplate", () => {
  test("reads records that differ by their text alone", () => {
    const template = learnt('{"a":"é","t":"one","c":1}', "one");
    expect(match(template, 'data: {"a":"é","t":"zwölf","c":1}\n\n')).toBe("zwölf");
    expect(match(template, 'data: {"a":"é","t":"x","c":1}\n\ndata: …', "…")).toBe("x");
    expect(match(template, 'data: {"a":"é","t":"a\\n\\"b\\"\\u00e9","c":1}\n\n')).toBe('a\n"b"é');
    expect(match(template, 'data: {"a":"é","t":"","c":1}\n\n')).toBe("");
  });

  test.each([
    'data: {"a":"é","t":"x","c":2}\n\n',
    'data: {"a":"e","t":"x","c":1}\n\n',
    'data: {"a":"é","t":"x","b":"y","c":1}\n\n',
    'data: {"a":"é","t":"x","c":1}\n',
    'data: {"a":"é","t":"bad \\q","c":1}\n\n',
    'data: {"a":"é","t":"raw \n line","c":1}\n\n',
    'data: {"a":"é","t":"cut',
    'data: {"a":"é","t":"cut\\',
    `data: {"a":"é","t":"${"x".repeat(5000)}","c":1}\n\n`,
  ])("leaves %j to the parser", (record) => {
    expect(match(learnt('{"a":"é","t":"one","c":1}', "one"), record)).toBeNull();
  });

  test("learns nothing that the parser does not prove", () => {
    // The text stands twice, and not where the parser reads it: last.
    expect(match(learnt('{"t":"é","a":"é"}', "é"), 'data: {"t":"é","a":"x"}\n\n')).toBeNull();
    expect(match(learnt('{"a":"é","t":"x","b":"x"}', "x"), 'data: {"a":"é","t":"x","b":"y"}\n\n')).toBeNull();
    expect(match(new RecordTemplate(parse), "data: x\n\n")).toBeNull();
  });

  test("gives up on records that never repeat, and not while they do", () => {
    const template = new RecordTemplate(parse);
    for (let index = 0; index < 40; index++) template.learn("data: ", `{"a":"é","n":${index},"t":"x"}`, "x");
    expect(match(template, 'data: {"a":"é","n":39,"t":"y"}\n\n')).toBeNull();
    expect(match(template, 'data: {"a":"é","n":15,"t":"y"}\n\n')).toBe("y");
    template.learn("data: ", '{"a":"é","n":40,"t":"x"}', "x");
    expect(match(template, 'data: {"a":"é","n":40,"t":"y"}\n\n')).toBe("y");
  });

  test("never reads another text than the parser", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom('"', '","b":"', "\\", '\\","b":"', "\\u0000", "\n"),
    );
    fc.assert(
      fc.property(text, fc.boolean(), (piece, isRaw) => {
        const data = `{"a":"é","t":${isRaw ? `"${piece}"` : JSON.stringify(piece)},"c":1}`;
        const record = Buffer.from(`data: ${data}\n\n`).toString();
        const read = match(learnt('{"a":"é","t":"one","c":1}', "one"), record);
        if (read !== null) expect(read).toBe(parse(record.slice(6, -2)));
        else if (!isRaw) expect(Buffer.byteLength(data)).toBeGreaterThan(4096);
      }),
      { numRuns: 1000 },
    );
  });
});
