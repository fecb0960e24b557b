import type { TokenLogprob } from "../conversation.ts";
import { isJsonObject, type JsonObject } from "../request-member.ts";

/** The text of a delta or message: its content, in whatever form, and what a model said to refuse. */
export function deltaText(delta: JsonObject): string {
  const content = delta["content"];
  let text = "";
  if (typeof content === "string") text = content;
  else if (Array.isArray(content)) {
    for (const part of content) {
      if (isJsonObject(part) && part["type"] === "text" && typeof part["text"] === "string") text += part["text"];
    }
  }
  const refusal = delta["refusal"];
  return typeof refusal === "string" && refusal !== "" ? text + refusal : text;
}

/** The thinking of a delta or message. Some engines write both names with one text: the first that has any counts. */
export function deltaReasoning(delta: JsonObject): string {
  for (const name of ["reasoning_content", "reasoning"]) {
    const value = delta[name];
    if (typeof value === "string" && value !== "") return value;
  }
  return "";
}

/** Most tokens of one record, and most alternatives of one token, that are read. */
const MAX_TOKENS = 100_000;
const MAX_ALTERNATIVES = 32;

/** The tokens in a `logprobs` member; what is not one is left out. */
export function readLogprobs(value: unknown): TokenLogprob[] {
  if (!isJsonObject(value) || !Array.isArray(value["content"])) return [];
  const tokens: TokenLogprob[] = [];
  for (const item of value["content"].slice(0, MAX_TOKENS)) {
    const token = readToken(item);
    if (token === null || !isJsonObject(item)) continue;
    const top = Array.isArray(item["top_logprobs"]) ? item["top_logprobs"].slice(0, MAX_ALTERNATIVES) : [];
    tokens.push({ ...token, top: top.map(readToken).filter((one) => one !== null) });
  }
  return tokens;
}

function readToken(value: unknown): Omit<TokenLogprob, "top"> | null {
  if (!isJsonObject(value)) return null;
  const { token, logprob, bytes } = value;
  if (typeof token !== "string" || typeof logprob !== "number") return null;
  const isBytes = Array.isArray(bytes) && bytes.every((byte) => Number.isInteger(byte));
  return { token, logprob, bytes: isBytes ? (bytes as number[]) : null };
}
