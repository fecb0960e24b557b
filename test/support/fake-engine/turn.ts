import { type Json, list, member, text } from "./json.ts";

/** A request in no dialect's words: what the fake model looks at. */
export interface Ask {
  model: string;
  isStream: boolean;
  /** `stream_options.include_usage` and its like. */
  wantsUsage: boolean;
  /** Everything that people and programs wrote, for counting. */
  prompt: string;
  /** The first tool of the request. */
  tool: { name: string; schema: Json | undefined } | null;
  /** What the tool said, where the last message is its result. */
  toolResult: string | null;
  maxTokens: number | null;
  stop: readonly string[];
  /** Pictures among the input. */
  images: number;
  /** Answers wanted. */
  choices: number;
}

/** What the fake model answers, in no dialect's words. */
export interface Turn {
  /** Random enough to tell answers apart; formats put their own prefix before it. */
  id: string;
  createdSeconds: number;
  model: string;
  /** One entry a token; joined they are the answer. */
  words: readonly string[];
  thinking: readonly string[];
  calls: readonly ToolCall[];
  finish: "stop" | "length" | "tool";
  /** The stop sequence that ended the answer. */
  stopSequence: string | null;
  tokensIn: number;
  tokensOut: number;
}

export interface ToolCall {
  id: string;
  name: string;
  arguments: { [name: string]: Json };
}

/** What it always says, so that tests can compare. */
export const FAKE_TEXT = "Hello from the fake engine: grüße, 你好, 👋.";

/** Its thoughts, where a model thinks. */
export const FAKE_THOUGHT = "The caller wants a greeting.";

/**
 * The one answer of the fake model: with tools it calls the first one once (twice for the model `two-tools`), then it says
 * what the tool said; else it says `FAKE_TEXT`.
 */
export function answer(ask: Ask, id: string): Turn {
  const said = ask.toolResult === null ? FAKE_TEXT : `The tool said: ${ask.toolResult}`;
  const tokensIn = countTokens(ask.prompt) + ask.images * 10;
  const thinking = ask.model.startsWith("thinking") ? split(FAKE_THOUGHT) : [];
  const base = {
    id,
    createdSeconds: 1_790_000_000,
    model: ask.model,
    thinking,
    tokensIn,
    stopSequence: null,
  };
  if (ask.tool !== null && ask.toolResult === null) {
    const { name, schema } = ask.tool;
    const calls = ask.model.startsWith("two-tools") ? [1, 2] : [1];
    return {
      ...base,
      words: [],
      calls: calls.map((count) => ({ id: `${id}${count}`, name, arguments: sampleOf(schema) })),
      finish: "tool",
      tokensOut: thinking.length + 5 * calls.length,
    };
  }
  const stop = ask.stop.find((sequence) => sequence !== "" && said.includes(sequence)) ?? null;
  const all = split(stop === null ? said : said.slice(0, said.indexOf(stop)));
  const words = ask.maxTokens === null ? all : all.slice(0, Math.max(1, ask.maxTokens));
  const isCut = words.length < all.length;
  return {
    ...base,
    words,
    calls: [],
    finish: isCut ? "length" : "stop",
    stopSequence: isCut ? null : stop,
    tokensOut: thinking.length + words.length,
  };
}

/** About a token for four characters, never none. */
export function countTokens(prompt: string): number {
  return Math.max(1, Math.ceil(prompt.length / 4));
}

/** All text below a value, as a template would print it. */
export function allText(value: Json | undefined): string {
  if (typeof value === "string") return value;
  if (typeof value !== "object" || value === null) return "";
  if (Array.isArray(value)) return value.map(allText).join("");
  return Object.entries(value)
    .filter(([name]) => !["type", "role", "id", "image_url", "source", "images"].includes(name))
    .map(([, one]) => allText(one))
    .join("");
}

function split(words: string): string[] {
  return words.match(/\S+\s*/gu) ?? [words];
}

/** Arguments that fit the tool's JSON Schema, as far as its required members say. */
function sampleOf(schema: Json | undefined): { [name: string]: Json } {
  const properties = member(schema, "properties");
  const sample: { [name: string]: Json } = {};
  for (const name of list(member(schema, "required")).map(text)) sample[name] = sampleValue(member(properties, name));
  return sample;
}

function sampleValue(schema: Json | undefined): Json {
  const [choice] = list(member(schema, "enum"));
  if (choice !== undefined) return choice;
  const type = member(schema, "type");
  switch (Array.isArray(type) ? type[0] : type) {
    case "number":
    case "integer":
      return 1;
    case "boolean":
      return true;
    case "array":
      return [sampleValue(member(schema, "items"))];
    case "object":
      return sampleOf(schema);
    default:
      return "Zürich";
  }
}
