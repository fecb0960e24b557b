import fc from "fast-check";

// Request bodies that are made to hurt, for whoever reads JSON of strangers: the gateway and the guard of the agent.

const MESSAGES = [
  { role: "system", content: "s" },
  { role: "user", content: "hi" },
];
const SCHEMA = { type: "object", properties: { at: { type: "string" } } };
const IMAGE = "iVBORw0KGgo=";

/** A valid body of each operation that goes to targets, with most of what its dialect has. Model `m`, no stream. */
export const RICH_BODIES: Readonly<Record<string, Record<string, unknown>>> = {
  "openai.chat": {
    model: "m",
    messages: [
      ...MESSAGES,
      {
        role: "user",
        content: [
          { type: "text", text: "t" },
          { type: "image_url", image_url: { url: `data:image/png;base64,${IMAGE}`, detail: "low" } },
        ],
      },
      {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "i", type: "function", function: { name: "f", arguments: "{}" } }],
      },
      { role: "tool", tool_call_id: "i", content: "r" },
    ],
    tools: [{ type: "function", function: { name: "f", parameters: SCHEMA, strict: true } }],
    tool_choice: { type: "function", function: { name: "f" } },
    response_format: { type: "json_schema", json_schema: { name: "n", schema: SCHEMA } },
    stop: ["x"],
    n: 1,
    max_tokens: 5,
    temperature: 1,
    stream_options: { include_usage: true },
    stream: false,
  },
  "openai.completions": { model: "m", prompt: ["a", "b"], max_tokens: 5, n: 2, stop: "x", stream: false },
  "openai.embeddings": { model: "m", input: ["a", "b"], encoding_format: "float", dimensions: 8 },
  "openai.rerank": { model: "m", query: "q", documents: ["a", "b"], top_n: 1, user: "u" },
  "openai.responses": {
    model: "m",
    instructions: "s",
    input: [
      {
        role: "user",
        content: [
          { type: "input_text", text: "t" },
          { type: "input_image", image_url: `data:image/png;base64,${IMAGE}` },
        ],
      },
      { type: "function_call", call_id: "i", name: "f", arguments: "{}" },
      { type: "function_call_output", call_id: "i", output: "r" },
    ],
    tools: [{ type: "function", name: "f", parameters: SCHEMA }, { type: "web_search" }],
    tool_choice: "auto",
    text: { format: { type: "json_schema", name: "n", schema: SCHEMA } },
    reasoning: { effort: "low" },
    max_output_tokens: 5,
    store: false,
    stream: false,
  },
  "anthropic.messages": {
    model: "m",
    max_tokens: 5,
    system: [{ type: "text", text: "x-anthropic-billing-header: 1", cache_control: { type: "ephemeral" } }],
    messages: [
      {
        role: "user",
        content: [
          { type: "text", text: "t" },
          { type: "image", source: { type: "base64", media_type: "image/png", data: IMAGE } },
        ],
      },
      { role: "assistant", content: [{ type: "tool_use", id: "i", name: "f", input: { url: "x" } }] },
      { role: "user", content: [{ type: "tool_result", tool_use_id: "i", content: [{ type: "text", text: "r" }] }] },
    ],
    tools: [{ name: "f", description: "d", input_schema: SCHEMA }],
    tool_choice: { type: "auto" },
    thinking: { type: "disabled" },
    stop_sequences: ["x"],
    metadata: { user_id: "u" },
    stream: false,
  },
  "anthropic.count_tokens": { model: "m", messages: MESSAGES.slice(1), tools: [{ name: "f", input_schema: SCHEMA }] },
  "ollama.chat": {
    model: "m",
    messages: [
      { role: "user", content: "t", images: [IMAGE] },
      { role: "assistant", content: "c", tool_calls: [{ function: { name: "f", arguments: { at: "x" } } }] },
      { role: "tool", tool_name: "f", content: "r" },
    ],
    tools: [{ type: "function", function: { name: "f", parameters: SCHEMA } }],
    options: { temperature: 1, num_predict: 5, num_ctx: 5000, stop: ["x"] },
    format: SCHEMA,
    keep_alive: "5m",
    think: true,
    stream: false,
  },
  "ollama.generate": {
    model: "m",
    prompt: "p",
    system: "s",
    images: [IMAGE],
    options: { seed: 3 },
    format: "json",
    keep_alive: 300,
    stream: false,
  },
  "ollama.embed": { model: "m", input: ["a", "b"], truncate: true, options: { num_ctx: 4096 }, dimensions: 8 },
  "ollama.embeddings": { model: "m", prompt: "p", options: { seed: 1 } },
};

/** Bodies that nobody may read: what is wrong, and the bytes. None of them may reach an engine. */
export function unreadableBodies(valid: Record<string, unknown>): [string, Buffer][] {
  const text = JSON.stringify(valid);
  const open = text.slice(0, -1);
  const inside = (member: string) => Buffer.from(`${open},${member}}`);
  return [
    ["nothing", Buffer.alloc(0)],
    ["blanks", Buffer.from(" \n")],
    ["an open brace", Buffer.from("{")],
    ["a body cut short", Buffer.from(open)],
    ["a list", Buffer.from(`[${text}]`)],
    ["a text", Buffer.from(JSON.stringify(text))],
    ["a number", Buffer.from("1")],
    ["null", Buffer.from("null")],
    ["two bodies", Buffer.from(text + text)],
    ["something behind it", Buffer.from(`${text}x`)],
    ["a NUL behind it", Buffer.from(`${text}\0`)],
    ["a comma too many", inside("")],
    ["a comment", Buffer.from(`${open}/* */}`)],
    ["single quotes", inside("'a':1")],
    ["a bare name", inside("a:1")],
    ["no colon", inside('"a" 1')],
    ["NaN", inside('"a":NaN')],
    ["a leading zero", inside('"a":01')],
    ["a leading plus", inside('"a":+1')],
    ["half a number", inside('"a":1e')],
    ["hexadecimals", inside('"a":0x1')],
    ["a line end in a text", inside('"a":"\n"')],
    ["an unknown escape", inside('"a":"\\x41"')],
    ["half an escape", inside('"a":"\\u12"')],
    ["a byte order mark", Buffer.from(`\ufeff${text}`)],
    ["UTF-16", Buffer.from(`\ufeff${text}`, "utf16le")],
    ["Latin-1", Buffer.from(`${open},"user":"\xe9"}`, "latin1")],
    ["an overlong slash", Buffer.concat([Buffer.from(`${open},"a":"`), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')])],
    ["half a character", Buffer.concat([Buffer.from(`${open},"a":"`), Buffer.from([0xf0, 0x9f]), Buffer.from('"}')])],
    ["a surrogate", Buffer.concat([Buffer.from(`${open},"a":"`), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')])],
    ["its model twice", inside('"model":"m"')],
    ["its model in another case", inside('"Model":"other"')],
    ["its model in escapes", inside('"\\u006dodel":"other"')],
    ["its model with a long s or a Kelvin sign", inside('"\u017ftream_option\u017f":{},"stream_options":{}')],
    ["__proto__ twice", inside('"__proto__":{},"__proto__":{"model":"other"}')],
    ["100,000 lists in each other", inside(`"a":${"[".repeat(100_000)}${"]".repeat(100_000)}`)],
    ["100,000 objects in each other", inside(`"a":${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`)],
    ["100,000 lists that never end", inside(`"a":${"[".repeat(100_000)}`)],
    ["a million keys", inside(Array.from({ length: 1_000_000 }, (_, index) => `"k${index}":0`).join(","))],
    ["a million nested keys", inside(`"a":{${Array.from({ length: 1_000_000 }, (_, i) => `"k${i}":0`).join(",")}}`)],
    ["a million elements", inside(`"a":[${"0,".repeat(1_000_000)}0]`)],
    ["a million empty lists", inside(`"a":[${"[],".repeat(1_000_000)}[]]`)],
    ["a name of a megabyte", inside(`"${"n".repeat(1_000_000)}":1`)],
    ["a model of a megabyte", Buffer.from(JSON.stringify({ ...valid, model: "m".repeat(1_000_000) }))],
    ["a model of escapes", Buffer.from(text.replace('"model":"m"', `"model":"${"\\u006d".repeat(100_000)}"`))],
    ["no model", Buffer.from(JSON.stringify({ ...valid, model: undefined }))],
    ["null for a model", Buffer.from(JSON.stringify({ ...valid, model: null }))],
    ["a list of models", Buffer.from(JSON.stringify({ ...valid, model: ["m"] }))],
    ["the name of every object's maker", Buffer.from(JSON.stringify({ ...valid, model: "constructor" }))],
    ["the name of every object's parent", Buffer.from(JSON.stringify({ ...valid, model: "__proto__" }))],
  ];
}

/** Numbers that lose something when they are parsed. */
export const ODD_NUMBERS: readonly string[] = [
  "12345678901234567890",
  "-0",
  "-0.0",
  "1e400",
  "1E+2",
  "0.1000000000000000055511151231257827",
  "1e-400",
  `1.${"0".repeat(400)}1`,
];

/** Members that change what objects are, where a program is careless. */
export const POISON =
  '"__proto__":{"isPoisoned":true,"stream":true},"constructor":{"prototype":{"isPoisoned":true}},"toString":null,"hasOwnProperty":1';

const MISFITS: readonly string[] = [
  "null",
  "true",
  "false",
  "0",
  "-1",
  "1e400",
  "12345678901234567890",
  '""',
  '"x"',
  '"__proto__"',
  '"\\ud800"',
  '"\\u0000"',
  "[]",
  "[[]]",
  "[null]",
  "{}",
  "[{}]",
  '{"type":null}',
  '{"__proto__":null}',
  '{"constructor":{"prototype":null},"type":"text"}',
  '{"type":{"type":{}}}',
];

/** Texts of a body of which one or two values were replaced by something else. */
export function misfits(valid: Record<string, unknown>): fc.Arbitrary<string> {
  const places = placesOf(valid).slice(1);
  const one = fc.tuple(fc.constantFrom(...places), fc.constantFrom(...MISFITS));
  return fc.array(one, { minLength: 1, maxLength: 2 }).map((changes) => {
    const marked: unknown = structuredClone(valid);
    for (const [index, [path]] of changes.entries()) put(marked, path, `\u0001${index}\u0001`);
    return JSON.stringify(marked).replace(
      /"\\u0001(\d)\\u0001"/g,
      (_, index: string) => changes[Number(index)]?.[1] ?? "0",
    );
  });
}

/** A body with one value replaced, for every value there is. */
export function* eachReplaced(valid: Record<string, unknown>, text: string): Generator<string> {
  for (const path of placesOf(valid).slice(1)) {
    const marked: unknown = structuredClone(valid);
    put(marked, path, "\u0001");
    yield JSON.stringify(marked).replace('"\\u0001"', text);
  }
}

type Path = readonly string[];

function placesOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([name, inner]) => placesOf(inner, [...path, name]))];
}

function put(tree: unknown, path: Path, value: unknown): void {
  let holder = tree;
  for (const name of path.slice(0, -1)) {
    // Gone, because a change before this one has replaced what held it.
    if (typeof holder !== "object" || holder === null) return;
    holder = (holder as Record<string, unknown>)[name];
  }
  const last = path.at(-1);
  if (typeof holder === "object" && holder !== null && last !== undefined) {
    (holder as Record<string, unknown>)[last] = value;
  }
}
