import { describe, expect, test } from "vitest";
import { PosternError } from "../../errors.ts";
import { scanBody } from "../../lib/json-scan.ts";
import type { DialectCodec, RequestFacts } from "../dialect.ts";
import { DEFAULT_FIELD_POLICY, type FieldPolicy } from "../field-policy.ts";
import { CHAT, EMBED, EMBEDDINGS, GENERATE, ollamaCodec } from "./codec.ts";

const FORMATS = { chat: CHAT, generate: GENERATE, embed: EMBED, embeddings: EMBEDDINGS };

function codec(name: keyof typeof FORMATS, policy: Partial<FieldPolicy> = {}): DialectCodec {
  return ollamaCodec(FORMATS[name], { ...DEFAULT_FIELD_POLICY, ...policy });
}

function inspect(text: string, one = codec("chat")): RequestFacts {
  return one.inspect(scanBody(Buffer.from(text)));
}

/** The body that a target gets, or the code and field of the refusal. */
function sent(text: string, one = codec("chat"), model = "m"): string {
  const scan = scanBody(Buffer.from(text));
  try {
    return one.rewrite(scan, one.inspect(scan), { model, forceUsage: true }).toString();
  } catch (error) {
    if (error instanceof PosternError) return `${error.code} ${error.param ?? ""}`.trim();
    throw error;
  }
}

const chat = (more: string): string => `{"model":"m","messages":[{"role":"user","content":"hi"}]${more}}`;
const generate = (more: string): string => `{"model":"m","prompt":"hi"${more}}`;
const options = (text: string): string => chat(`,"options":{${text}}`);

describe("a request of Ollama's dialect", () => {
  test("is a stream unless it says no", () => {
    expect(inspect(chat("")).isStream).toBe(true);
    expect(inspect(chat(',"stream":null')).isStream).toBe(true);
    expect(inspect(chat(',"stream":true')).isStream).toBe(true);
    expect(inspect(chat(',"stream":false')).isStream).toBe(false);
    expect(inspect('{"model":"m","input":"x","stream":true}', codec("embed")).isStream).toBe(false);
    expect(sent(chat(',"stream":"yes"'))).toBe("body_invalid stream");
  });

  test("goes out as the same buffer when nothing has to change", () => {
    const body = Buffer.from(
      chat(
        ',"options":{"seed":9007199254740993,"temperature":1e-7,"num_ctx":8192},"think":"high","format":{"type":"object"}',
      ),
    );
    const scan = scanBody(body);
    const one = codec("chat");
    expect(one.rewrite(scan, one.inspect(scan), { model: "m", forceUsage: true })).toBe(body);
  });

  test("gets the engine's own name of the model, and keeps all other bytes", () => {
    const body = '{ "model" : "llama3" , "messages":[{"role":"user","content":"\\u0068i"}] }';
    expect(sent(body, codec("chat"), 'llama"3:latest')).toBe(
      '{ "model" : "llama\\"3:latest" , "messages":[{"role":"user","content":"\\u0068i"}] }',
    );
  });

  test.each([
    ['{"messages":[]}', "model_missing model"],
    ['{"model":"","messages":[]}', "model_missing model"],
    ['{"model":7,"messages":[]}', "model_missing model"],
    ['{"Model":"m","messages":[]}', "model_missing model"],
    [`{"model":"${"m".repeat(300)}","messages":[]}`, "model_not_found model"],
    ['{"model":"m","messages":"hi"}', "body_invalid messages"],
    [chat(',"options":[]'), "body_invalid options"],
    [chat(',"tools":{}'), "body_invalid tools"],
    [chat(',"think":7'), "body_invalid think"],
    [chat(',"keep_alive":"soon"'), "body_invalid keep_alive"],
    [chat(',"keep_alive":{}'), "body_invalid keep_alive"],
    [options('"num_ctx":"big"'), "body_invalid options.num_ctx"],
    [options('"num_ctx":1.5'), "body_invalid options.num_ctx"],
    [options('"num_ctx":1e400'), "body_invalid options.num_ctx"],
    [options('"seed":1,"SEED":2'), "body_ambiguous SEED"],
  ])("that is wrong is refused: %s", (body, expected) => {
    expect(sent(body)).toBe(expected);
  });

  test("is read without harm when its names are hostile", () => {
    expect(sent(chat(',"__proto__":{"model":"x"},"options":{"constructor":1,"__proto__":2}'))).toBe(
      chat(',"options":{}'),
    );
  });
});

describe("the field table", () => {
  test.each(["_debug_render_only", "raw"])("refuses %s when it says something", (name) => {
    expect(sent(generate(`,"${name}":true`), codec("generate"))).toBe(`field_refused ${name}`);
    expect(sent(generate(`,"${name}":false`), codec("generate"))).toBe(generate(""));
  });

  test.each([
    ["template", '"{{ .Prompt }}"', '""'],
    ["context", "[1,2,3]", "[]"],
    ["n_discard", "-1", "null"],
  ])("refuses %s when it says something", (name, value, nothing) => {
    expect(sent(generate(`,"${name}":${value}`), codec("generate"))).toBe(`field_refused ${name}`);
    expect(sent(generate(`,"${name}":${nothing}`), codec("generate"))).toBe(generate(""));
    expect(sent(generate(`,"${name}":${value}`), codec("generate", { allow: [name] }))).toBe(
      generate(`,"${name}":${value}`),
    );
  });

  test("lets a caller's own prompt pass, with all its parts", () => {
    const body = generate(',"system":"Be brief.","suffix":"}","images":["iVBORw0KGgo="],"format":"json","shift":false');
    expect(sent(body, codec("generate"))).toBe(body);
  });

  test("takes out what decides how the model is loaded, and names it, also where the unknown is refused", () => {
    const body = options(
      '"num_gpu":99,"temperature":0,"main_gpu":1,"num_thread":8,"use_mmap":false,"numa":true,"num_keep":4',
    );
    for (const unknown of ["remove", "refuse"] as const) {
      const one = codec("chat", { unknown });
      expect(sent(body, one)).toBe(options('"temperature":0'));
      expect(inspect(body, one).removedFields).toEqual([
        "options.num_gpu",
        "options.main_gpu",
        "options.num_thread",
        "options.use_mmap",
        "options.numa",
        "options.num_keep",
      ]);
    }
    expect(sent(options('"num_gpu":1'), codec("chat", { allow: ["options.num_gpu"] }))).toBe(options('"num_gpu":1'));
  });

  test("knows what it does not know", () => {
    const body = chat(',"width":64,"options":{"new":1,"top_k":2,"bad name\\n":3}');
    expect(sent(body)).toBe(chat(',"options":{"top_k":2}'));
    expect(inspect(body).removedFields).toEqual(["width", "options.new", "?"]);
    expect(sent(options('"new":1'), codec("chat", { unknown: "refuse" }))).toBe("field_refused options.new");
    expect(sent(options('"n_discard":-1'))).toBe("field_refused options.n_discard");
  });

  test.each([
    [1, 4096],
    [-1, 4096],
    [4096, null],
    [9000, 16_384],
    [40_000, 65_536],
    [262_144, null],
    [9_000_000, 262_144],
  ])("rounds num_ctx %d up, so that a client's arithmetic does not reload the model", (asked, to) => {
    const facts = inspect(options(`"num_ctx":${asked}`));
    expect(facts.clampedFields).toEqual(to === null ? [] : [{ name: "options.num_ctx", to }]);
    expect(sent(options(`"num_ctx":${asked}`))).toBe(options(`"num_ctx":${to ?? asked}`));
  });

  test("keeps num_ctx and num_predict within the operator's bounds, also when looked at twice", () => {
    const one = codec("chat", { maxContext: 10_000, maxTokens: 100 });
    const once = sent(options('"num_ctx":9000,"num_predict":-1'), one);
    expect(once).toBe(options('"num_ctx":10000,"num_predict":100'));
    expect(sent(once, one)).toBe(once);
    expect(sent(options('"num_predict":-1'))).toBe(options('"num_predict":-1'));
  });

  test("takes keep_alive out unless the operator gives a bound", () => {
    expect(sent(chat(',"keep_alive":1800'))).toBe(chat(""));
    expect(inspect(chat(',"keep_alive":"30m"')).removedFields).toEqual(["keep_alive"]);
    const bounded = codec("chat", { maxKeepAliveSeconds: 600 });
    expect(sent(chat(',"keep_alive":"5m"'), bounded)).toBe(chat(',"keep_alive":"5m"'));
    expect(sent(chat(',"keep_alive":"1h30m"'), bounded)).toBe(chat(',"keep_alive":600'));
    expect(sent(chat(',"keep_alive":-1'), bounded)).toBe(chat(',"keep_alive":600'));
    expect(sent(chat(',"keep_alive":"-1s"'), bounded)).toBe(chat(',"keep_alive":600'));
    expect(sent(chat(',"keep_alive":0'), bounded)).toBe(chat(""));
    expect(sent(chat(',"keep_alive":"0s"'), bounded)).toBe(chat(""));
  });

  test("says what it took from the numbers' own members only", () => {
    expect(inspect(chat("")).removedFields).toEqual([]);
    expect(inspect(chat("")).clampedFields).toEqual([]);
    expect(inspect(chat("")).wantsUsage).toBe(true);
  });
});

describe("loading and unloading", () => {
  test("an empty prompt loads the model and passes", () => {
    expect(sent('{"model":"m"}', codec("generate"))).toBe('{"model":"m"}');
    expect(sent('{"model":"m","messages":[],"keep_alive":"5m"}')).toBe('{"model":"m","messages":[]}');
  });

  // Without its keep_alive the request would load the model that it means to unload.
  test.each([
    ['{"model":"m","messages":[],"keep_alive":0}', "chat"],
    ['{"model":"m","messages":[ ],"keep_alive":"0s"}', "chat"],
    ['{"model":"m","keep_alive":0}', "generate"],
    ['{"model":"m","prompt":"","keep_alive":"0"}', "generate"],
    ['{"model":"m","prompt":null,"keep_alive":0.0}', "embeddings"],
  ] as const)("an order to unload is refused: %s", (body, format) => {
    expect(sent(body, codec(format))).toBe("field_refused keep_alive");
  });

  test("a prompt with keep_alive 0 is only a prompt", () => {
    expect(sent(chat(',"keep_alive":0'))).toBe(chat(""));
  });
});

describe("images", () => {
  const inChat = (image: string): string =>
    `{"model":"m","messages":[{"role":"user","content":"x"},{"role":"user","content":"","images":[${image}]}]}`;
  const inGenerate = (image: string): string => generate(`,"images":[${image}]`);

  test.each(['"iVBORw0KGgo="', '"/9j/4AAQ"', '"\\/9j\\/4AAQ"', '"iVBO\\nRw0K"', '""'])(
    "of plain base64 pass: %s",
    (image) => {
      expect(sent(inChat(image))).toBe(inChat(image));
      expect(sent(inGenerate(image), codec("generate"))).toBe(inGenerate(image));
    },
  );

  test.each([
    '"http://10.0.0.1/x.png"',
    '"https:\\/\\/x"',
    '"file:///etc/passwd"',
    '"\\u0066ile:///etc/passwd"',
    '"/etc/passwd"',
    '"../x"',
    '"x.png"',
    '"data:image/png;base64,iVBORw0KGgo="',
    '{"url":"http://x"}',
    "7",
  ])("that an engine would have to fetch are refused: %s", (image) => {
    expect(sent(inChat(image))).toBe("field_refused messages");
    expect(sent(inGenerate(image), codec("generate"))).toBe("field_refused images");
  });
});
