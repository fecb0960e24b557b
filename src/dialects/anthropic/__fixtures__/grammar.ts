/** One record of a stream, parsed. */
export interface Told {
  type: string;
  index?: number;
  delta?: Record<string, unknown>;
  content_block?: Record<string, unknown>;
  message?: { usage?: Record<string, unknown> };
  usage?: Record<string, unknown>;
}

/** What each kind of block may hold. */
const DELTAS: Record<string, readonly string[]> = {
  text: ["text_delta"],
  thinking: ["thinking_delta", "signature_delta"],
  tool_use: ["input_json_delta"],
};

/**
 * Reads what a writer wrote and checks the stream grammar of engine-apis §3.3 to the letter: names, order, one block open at
 * a time, indices up by one, the signature right before the end of thinking, no empty block of text.
 *
 * @throws Error that says which rule was broken.
 */
export function checkGrammar(text: string): Told[] {
  const told: Told[] = [];
  let open: { index: number; type: string; deltas: string[] } | null = null;
  let next = 0;
  for (const record of text.split("\n\n").slice(0, -1)) {
    const match = /^event: (\w+)\ndata: ([^\n]*)$/.exec(record);
    if (match === null) throw new Error(`not a named record: ${record}`);
    const data = JSON.parse(match[2] ?? "") as Told;
    if (data.type !== match[1]) throw new Error(`the name is ${match[1]}, the type ${data.type}`);
    if (data.type === "ping") continue;
    const before = told.at(-1)?.type;
    const rule = (isKept: boolean, what: string) => {
      if (!isKept) throw new Error(`${what}: ${record}`);
    };
    rule(before !== "message_stop", "nothing follows the end");
    rule((told.length === 0) === (data.type === "message_start"), "message_start comes first and once");
    switch (data.type) {
      case "message_start":
        rule(typeof data.message?.usage?.["input_tokens"] === "number", "message_start has usage");
        break;
      case "content_block_start":
        rule(open === null, "one block is open at a time");
        rule(data.index === next, "indices go up by one");
        open = { index: next++, type: String(data.content_block?.["type"]), deltas: [] };
        break;
      case "content_block_delta":
        rule(open?.index === data.index, "a delta is of the open block");
        rule(DELTAS[open?.type ?? ""]?.includes(String(data.delta?.["type"])) === true, "a delta fits its block");
        open?.deltas.push(String(data.delta?.["type"]));
        break;
      case "content_block_stop":
        rule(open?.index === data.index, "the open block stops");
        if (open?.type === "text") rule(open.deltas.length > 0, "no block of text is empty");
        if (open?.type === "thinking") {
          rule(open.deltas.indexOf("signature_delta") === open.deltas.length - 1, "a signature ends thinking");
        }
        open = null;
        break;
      case "message_delta":
        rule(open === null, "blocks are closed");
        rule(typeof data.usage?.["output_tokens"] === "number", "message_delta has usage");
        break;
      case "message_stop":
        rule(before === "message_delta", "message_delta comes before message_stop");
        break;
      default:
        rule(false, "a known record");
    }
    told.push(data);
  }
  return told;
}
