/** A body at some bounds of size and values, whose bytes were chosen to cost as much as they can. */
export interface LargeBody {
  name: string;
  body: string;
}

const MIB = 1024 * 1024;
const HEADROOM_BYTES = 4096;
/** Values around the content. */
const HEADROOM_VALUES = 100;

/** What an operation's body looks like around its content. */
interface Wrapping {
  /** Members before the content, and the member that is a list of messages. */
  head: string;
  list: string;
  /** Type of a part that is text. */
  text: string;
  /** A part with a medium, around its data. */
  medium: [string, string];
  /** A tool, around its schema. */
  tool: [string, string];
}

const OPENAI_MEDIUM: [string, string] = [
  '{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo',
  '"}}',
];

const WRAPPINGS: Readonly<Record<string, Wrapping>> = {
  "openai.chat": {
    head: '"model":"m"',
    list: "messages",
    text: "text",
    medium: OPENAI_MEDIUM,
    tool: ['{"type":"function","function":{"name":"f","parameters":', "}}"],
  },
  "openai.responses": {
    head: '"model":"m"',
    list: "input",
    text: "input_text",
    medium: ['{"type":"input_image","image_url":"data:image/png;base64,', '"}'],
    tool: ['{"type":"function","name":"f","parameters":', "}"],
  },
  "anthropic.messages": {
    head: '"model":"m","max_tokens":5',
    list: "messages",
    text: "text",
    medium: ['{"url":null,"type":"image","source":{"type":"base64","media_type":"image/png","data":"', '"}}'],
    tool: ['{"name":"f","input_schema":', "}"],
  },
  "ollama.chat": {
    head: '"model":"m","stream":false',
    list: "messages",
    text: "text",
    medium: OPENAI_MEDIUM,
    tool: ['{"type":"function","function":{"name":"f","parameters":', "}}"],
  },
};

/** The operations for which there are such bodies. */
export const LARGE_OPERATIONS: readonly string[] = Object.keys(WRAPPINGS);

/**
 * @param sizeMiB Of each body, about; those that are made of values may be smaller.
 * @param mostValues In each body.
 */
export function* largeBodies(operation: string, sizeMiB: number, mostValues: number): Generator<LargeBody> {
  const wrapping = WRAPPINGS[operation];
  if (wrapping === undefined) throw new TypeError(`no large bodies of ${operation}`);
  const { head, list, text, medium, tool } = wrapping;
  const size = sizeMiB * MIB - HEADROOM_BYTES;
  const total = mostValues - HEADROOM_VALUES;
  const fill = (unit: string) => unit.repeat(Math.floor(size / Buffer.byteLength(unit)));
  const message = (content: string) => `{${head},"${list}":[{"role":"user","content":${content}}]`;
  const elements = (before: string, after: string, values: number) => {
    const count = Math.floor(total / values);
    const element = `${before}${"x".repeat(Math.max(0, Math.floor(size / count) - before.length - after.length - 1))}${after}`;
    return `[${Array.from({ length: count }, () => element).join(",")}]`;
  };

  for (const [name, unit] of Object.entries({
    letters: "lorem ipsum dolor ",
    "letters that names begin with": "uUrRdDf",
    quotes: '\\"',
    "line ends": "\\n",
    "letters and line ends": "abcdefghijklmnopqrstuvwxyz0123\\n",
    pictures: "😀",
  })) {
    yield { name, body: `${message(`"${fill(unit)}"`)}}` };
  }
  yield { name: "braces under an escaped name", body: `${message(`[{"\\u0061":"${fill("{")}"}]`)}}` };
  yield { name: "messages", body: `{${head},"${list}":${elements('{"role":"user","content":"', '"}', 3)}}` };
  yield { name: "parts", body: `${message(elements(`{"type":"${text}","url":null,"text":"`, '"}', 4))}}` };
  yield { name: "media", body: `${message(elements(...medium, 7))}}` };
  const keys = Array.from({ length: total }, (_, index) => `"k${index}":${index}`).join(",");
  yield {
    name: "a schema",
    body: `${message('"x"')},"tools":[${tool.join(`{"type":"object","properties":{${keys}}}`)}]}`,
  };
  yield { name: "tools", body: `${message('"x"')},"tools":${elements('{"type":"function","name":"', '"}', 3)}}` };
  yield { name: "blanks", body: `${message('"x"')}${fill(" ")}}` };
  yield { name: "blanks of all kinds", body: `${message('"x"')}${fill("\t \r\n")}}` };
  yield { name: "digits", body: `${message('"x"')},"seed":${fill("1")}}` };
  yield { name: "a name", body: `${message('"x"')},"${fill("İ")}":1}` };
  yield { name: "a model", body: `{"${list}":[],"model":"${fill("\\u006d")}"}` };
}
