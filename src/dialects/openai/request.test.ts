import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PosternError } from "../../errors.ts";
import { scanBody } from "../../lib/json-scan.ts";
import { codecFor, createCodecs } from "../codecs.ts";
import type { RequestFacts, TargetEdits } from "../dialect.ts";
import { MAX_NAMED_FIELDS } from "../dialect.ts";
import { DEFAULT_FIELD_POLICY, type FieldPolicy } from "../field-policy.ts";
import { CHAT_FIELDS } from "./fields.ts";

const MESSAGES = '"messages":[{"role":"user","content":"hi"}]';
const SAME: TargetEdits = { model: "m", forceUsage: false };

function chat(policy: Partial<FieldPolicy> = {}) {
  return createCodecs({ ...DEFAULT_FIELD_POLICY, ...policy }).get("openai.chat")!;
}

function inspect(text: string, codec = chat()): RequestFacts {
  return codec.inspect(scanBody(Buffer.from(text)));
}

function rewrite(text: string, edits: Partial<TargetEdits> = {}, codec = chat()): string {
  const scan = scanBody(Buffer.from(text));
  return codec.rewrite(scan, codec.inspect(scan), { ...SAME, ...edits }).toString();
}

function refusal(run: () => unknown): { code: string; param: string | undefined; message: string } {
  try {
    run();
  } catch (error) {
    if (error instanceof PosternError) return { code: error.code, param: error.param, message: error.message };
    throw error;
  }
  throw new Error("was accepted");
}

describe("inspect()", () => {
  test("reads the model and what kind of answer is wanted", () => {
    expect(inspect(`{"model":"m",${MESSAGES}}`)).toEqual({
      model: "m",
      isStream: false,
      wantsUsage: false,
      hasManyChoices: false,
      removedFields: [],
      clampedFields: [],
    });
    const asked = `{"model":"m",${MESSAGES},"stream":true,"stream_options":{"include_usage":true},"n":3}`;
    expect(inspect(asked)).toMatchObject({ isStream: true, wantsUsage: true, hasManyChoices: true });
    expect(inspect(`{"model":"m","stream":null,"stream_options":null}`)).toMatchObject({ isStream: false });
    // Without a stream nobody gets an extra chunk.
    expect(inspect(`{"model":"m","stream_options":{"include_usage":true}}`)).toMatchObject({ wantsUsage: false });
  });

  test.each(["{}", '{"model":""}', '{"model":null}', '{"model":7}', '{"Model":"m"}', '{"messages":[]}'])(
    "misses the model in %s",
    (text) => {
      expect(refusal(() => inspect(text)).code).toBe("model_missing");
    },
  );

  test.each([
    ['{"model":"m","stream":"yes"}', "stream"],
    ['{"model":"m","stream":1}', "stream"],
    ['{"model":"m","stream_options":[]}', "stream_options"],
    ['{"model":"m","n":"8"}', "n"],
    ['{"model":"m","n":1.5}', "n"],
    ['{"model":"m","messages":"hi"}', "messages"],
  ])("refuses a value that policy could not read: %s", (text, param) => {
    expect(refusal(() => inspect(text))).toMatchObject({ code: "body_invalid", param });
  });

  test("names every dangerous field that it refuses", () => {
    for (const name of CHAT_FIELDS.dangerous.keys()) {
      const { code, param, message } = refusal(() => inspect(`{"model":"m","${name}":-1}`));
      expect([code, param]).toEqual(["field_refused", name]);
      expect(message).toContain(`"${name}"`);
      expect(CHAT_FIELDS.listed.has(name)).toBe(false);
    }
    // Escapes do not help.
    expect(refusal(() => inspect('{"model":"m","n_disc\\u0061rd":-1}')).param).toBe("n_discard");
  });

  test("removes what it does not know and names it safely", () => {
    const facts = inspect(
      '{"model":"m","keep_alive":-1,"N_DISCARD":-1,"x\\r\\nset-cookie: a":1,"":2,"stream_options":{"evil":1}}',
    );
    expect(facts.removedFields).toEqual(["keep_alive", "N_DISCARD", "?", "stream_options.evil"]);
    const many = Array.from({ length: 100 }, (_, at) => `"f${at}":0`).join();
    expect(inspect(`{"model":"m",${many}}`).removedFields).toHaveLength(MAX_NAMED_FIELDS);
  });

  test("does as the operator chose", () => {
    expect(refusal(() => inspect('{"model":"m","foo":1}', chat({ unknown: "refuse" })))).toMatchObject({
      code: "field_refused",
      param: "foo",
    });
    expect(refusal(() => inspect('{"model":"m","stream_options":{"a":1}}', chat({ unknown: "refuse" }))).param).toBe(
      "stream_options.a",
    );
    expect(inspect('{"model":"m","foo":1,"grammar":"x"}', chat({ allow: ["foo", "grammar"] })).removedFields).toEqual(
      [],
    );
    expect(
      inspect('{"model":"m","n":9,"max_tokens":-1,"max_completion_tokens":500}', chat({ maxTokens: 100 }))
        .clampedFields,
    ).toEqual([
      { name: "n", to: 8 },
      { name: "max_tokens", to: 100 },
      { name: "max_completion_tokens", to: 100 },
    ]);
  });

  test("refuses ambiguous names where it looks", () => {
    expect(
      refusal(() =>
        inspect('{"model":"m","stream":true,"stream_options":{"include_usage":true,"Include_Usage":false}}'),
      ).code,
    ).toBe("body_ambiguous");
  });

  test("refuses objects among prompts and inputs", () => {
    const completions = codecFor("openai.completions");
    const embeddings = codecFor("openai.embeddings");
    for (const ok of ['"hi {"', '["a{","b"]', "[1,2]", "[[1,2],[3]]"]) {
      completions.inspect(scanBody(Buffer.from(`{"model":"m","prompt":${ok}}`)));
      embeddings.inspect(scanBody(Buffer.from(`{"model":"m","input":${ok}}`)));
    }
    for (const bad of [
      '[{"prompt_string":"x","multimodal_data":["y"]}]',
      '[[{"a":1}]]',
      '["a",{"image":"http://x"}]',
    ]) {
      expect(refusal(() => completions.inspect(scanBody(Buffer.from(`{"model":"m","prompt":${bad}}`)))).param).toBe(
        "prompt",
      );
      expect(refusal(() => embeddings.inspect(scanBody(Buffer.from(`{"model":"m","input":${bad}}`)))).param).toBe(
        "input",
      );
    }
    expect(refusal(() => embeddings.inspect(scanBody(Buffer.from('{"model":"m","input":{"url":"x"}}')))).code).toBe(
      "body_invalid",
    );
  });
});

describe("media", () => {
  const body = (part: string) =>
    `{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"see http://x"},${part}]}]}`;

  test.each([
    '{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}}',
    '{"type":"image_url","image_url":{"url":"data:image\\/png;base64,AAAA"}}',
    '{"type":"image_url","image_url":"data:image/png;base64,AAAA"}',
    '{"type":"image_url","image_url":"d\\u0061ta:image/png;base64,AAAA"}',
    '{"type":"input_audio","input_audio":{"data":"/9j/AAAA","format":"wav"}}',
    '{"type":"file","file":{"file_data":"data:application/pdf;base64,AAAA","filename":"C:notes.pdf"}}',
    '{"type":"text","text":"https://example.org/image_url"}',
  ])("inside the request are accepted: %s", (part) => {
    expect(inspect(body(part)).model).toBe("m");
  });

  test.each([
    '{"type":"image_url","image_url":{"url":"http://169.254.169.254/latest"}}',
    '{"type":"image_url","image_url":{"url":"https://example.org/a.png"}}',
    '{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}',
    '{"type":"image_url","image_url":{"url":"/etc/passwd"}}',
    '{"type":"image_url","image_url":{"url":" http://x"}}',
    '{"type":"image_url","image_url":{"url":"DATA:image/png;base64,AAAA"}}',
    '{"type":"image_url","image_url":{"url":"\\u0068ttp://x"}}',
    '{"type":"image_url","image_url":{"url":["http://x"]}}',
    '{"type":"image_url","image_url":["http://x"]}',
    '{"type":"image_url","image_url":"http://x"}',
    '{"type":"image_url","image\\u005furl":{"\\u0075rl":"http://x"}}',
    '{"image_url":"http://x"}',
    '{"type":"video_url","video_url":{"url":"http://x"}}',
    '{"type":"audio_url","audio_url":{"url":"http://x"}}',
    '{"type":"input_audio","input_audio":{"data":"http://x","format":"wav"}}',
    '{"type":"input_audio","input_audio":{"data":"\\u0068ttp://x","format":"wav"}}',
    '{"type":"image_url","image_url":{"url":"http:\\/\\/x?data:"}}',
    '{"type":"input_video","input_video":"http://x"}',
    '{"type":"image","image":"http://x"}',
    '{"type":"image","url":"http://x"}',
    '{"type":"file","file":{"file_url":"http://x"}}',
    '{"type":"image_embeds","image_embeds":"AAAA"}',
  ])("from elsewhere are refused: %s", (part) => {
    expect(refusal(() => inspect(body(part)))).toMatchObject({ code: "field_refused", param: "messages" });
    if (!part.includes("_embeds")) expect(inspect(body(part), chat({ remoteMedia: true })).model).toBe("m");
  });

  test("named twice are ambiguous", () => {
    const part = '{"type":"image_url","image_url":{"url":"data:x,","url":"http://x"}}';
    expect(refusal(() => inspect(body(part))).code).toBe("body_ambiguous");
  });
});

describe("rewrite()", () => {
  test("returns the very bytes when nothing changes", () => {
    const scan = scanBody(
      Buffer.from(`{"model":"m",${MESSAGES},"stream":true,"stream_options":{"include_usage":true}}`),
    );
    expect(chat().rewrite(scan, chat().inspect(scan), { model: "m", forceUsage: true })).toBe(scan.bytes);
  });

  test.each([
    ['{"model":"m","stream":true}', '{"model":"m","stream_options":{"include_usage":true},"stream":true}'],
    [
      '{"stream":true,"stream_options":{} ,"model":"m"}',
      '{"stream":true,"stream_options":{"include_usage":true} ,"model":"m"}',
    ],
    [
      '{"model":"m","stream":true,"stream_options":null}',
      '{"model":"m","stream":true,"stream_options":{"include_usage":true}}',
    ],
    [
      '{"model":"m","stream":true,"stream_options":{"include_usage":false}}',
      '{"model":"m","stream":true,"stream_options":{"include_usage":true}}',
    ],
    [
      '{"model":"m","stream":true,"stream_options":{"include_obfuscation":false}}',
      '{"model":"m","stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}}',
    ],
    [
      '{"model":"m","stream":true,"stream_options":{"evil":1}}',
      '{"model":"m","stream":true,"stream_options":{"include_usage":true}}',
    ],
    ['{"model":"m","stream":false}', '{"model":"m","stream":false}'],
  ])("asks for usage: %s", (before, after) => {
    expect(rewrite(before, { forceUsage: true })).toBe(after);
  });

  test("puts the engine's name in, and leaves every other byte", () => {
    expect(rewrite('{ "model" : "m", "temperature":0.70, "messages":[ ] }', { model: 'a"b' })).toBe(
      '{ "model" : "a\\"b", "temperature":0.70, "messages":[ ] }',
    );
    // A name written with escapes is the same name: it stays as it was.
    expect(rewrite('{"model":"\\u006d"}')).toBe('{"model":"\\u006d"}');
  });

  test("takes unknown fields out and clamps", () => {
    expect(rewrite('{"x":1,"model":"m","n":100,"keep_alive":{"a":[1]},"stop":"\\n","y":2}')).toBe(
      '{"model":"m","n":8,"stop":"\\n"}',
    );
  });

  test("takes out what the target's kind does not know", () => {
    const text = '{"model":"m","top_k":5,"verbosity":"low","seed":1}';
    expect(rewrite(text)).toBe(text);
    expect(rewrite(text, { engineKind: "vllm" })).toBe('{"model":"m","top_k":5,"seed":1}');
    expect(rewrite(text, { engineKind: "openai" })).toBe('{"model":"m","verbosity":"low","seed":1}');
  });

  test("calls fields as the target's kind does", () => {
    const text = '{"model":"m","max_completion_tokens" : 5,"seed":1}';
    expect(rewrite(text, { engineKind: "ollama" })).toBe('{"model":"m","max_tokens":5,"seed":1}');
    expect(rewrite(text, { engineKind: "vllm" })).toBe(text);
    const both = '{"model":"m","max_completion_tokens":5,"max_tokens":6}';
    expect(rewrite(both, { engineKind: "ollama" })).toBe(both);
    expect(rewrite(text, { engineKind: "ollama" }, chat({ maxTokens: 3 }))).toBe(
      '{"model":"m","max_tokens":3,"seed":1}',
    );
  });

  test("always gives a body that a second look finds nothing to change in", () => {
    const member = fc.constantFrom(
      '"stream":true',
      '"stream_options":{"include_usage":false,"zzz":1}',
      '"n":99',
      '"foo":{"a":"}"}',
      '"bar":[1,2]',
      '"top_k":1',
      '"seed":7',
      '"tools":[{"x":"{"}]',
      '"user":"é"',
      '"max_tokens":5',
      '"stop":null',
      '"baz":"\\"}"',
    );
    fc.assert(
      fc.property(
        fc.uniqueArray(member, { maxLength: 10 }),
        fc.nat(10),
        fc.boolean(),
        fc.constantFrom(undefined, "vllm", "openai"),
        (members, at, forceUsage, kind) => {
          const list: string[] = [...members];
          list.splice(Math.min(at, list.length), 0, '"model":"m"');
          const codec = chat();
          const scan = scanBody(Buffer.from(`{ ${list.join(" ,\n")} }`));
          const edits: TargetEdits = {
            model: "engine/m:q4",
            forceUsage,
            ...(kind === undefined ? {} : { engineKind: kind }),
          };
          const out = scanBody(codec.rewrite(scan, codec.inspect(scan), edits));
          const facts = codec.inspect(out);
          expect(facts).toMatchObject({ model: "engine/m:q4", removedFields: [], clampedFields: [] });
          if (facts.isStream && forceUsage) expect(facts.wantsUsage).toBe(true);
          expect(codec.rewrite(out, facts, edits)).toBe(out.bytes);
          // Members that were kept have the bytes they came with.
          for (const kept of out.members) {
            const from = scan.members.find(({ name }) => name === kept.name);
            if (["model", "n", "stream_options"].includes(kept.name) || from === undefined) continue;
            expect(out.bytes.toString("utf8", kept.valueStart, kept.valueEnd)).toBe(
              scan.bytes.toString("utf8", from.valueStart, from.valueEnd),
            );
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
