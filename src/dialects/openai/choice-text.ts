/** Members of a delta or a message that reach a reader: text, reasoning under its various names. */
export const TEXT_MEMBERS = ["content", "reasoning_content", "reasoning", "refusal"] as const;

/** Characters of text in one choice: its text, its delta or its message, arguments of calls included. */
export function textInChoice(choice: unknown): number {
  if (!isRecord(choice)) return 0;
  const said = choice["delta"] ?? choice["message"];
  let length = lengthOf(choice["text"]);
  if (!isRecord(said)) return length;
  for (const name of TEXT_MEMBERS) length += lengthOf(said[name]);
  const calls = said["tool_calls"];
  if (!Array.isArray(calls)) return length;
  for (const call of calls) {
    if (isRecord(call) && isRecord(call["function"])) length += lengthOf(call["function"]["arguments"]);
  }
  return length;
}

/** Whether a parsed value is an object with names. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function lengthOf(value: unknown): number {
  return typeof value === "string" ? value.length : 0;
}
