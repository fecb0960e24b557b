/** One member of a JSON object: where its value stands in the text. */
export interface Member {
  name: string;
  start: number;
  end: number;
}

/**
 * The members of the object that a JSON text is, without those inside them, so that one value can be replaced and every other
 * byte stays: parsing and writing again would change large numbers and members that stand there twice.
 *
 * @returns Null when the text is not such an object. Does not check what is inside the values.
 */
export function topLevelMembers(json: string): Member[] | null {
  const members: Member[] = [];
  let at = skipSpace(json, 0);
  if (json[at] !== "{") return null;
  at = skipSpace(json, at + 1);
  if (json[at] === "}") return skipSpace(json, at + 1) === json.length ? members : null;
  for (;;) {
    const nameEnd = stringEnd(json, at);
    const name = nameEnd === -1 ? null : readString(json.slice(at, nameEnd));
    if (name === null) return null;
    at = skipSpace(json, nameEnd);
    if (json[at] !== ":") return null;
    const start = skipSpace(json, at + 1);
    const end = valueEnd(json, start);
    if (end <= start) return null;
    members.push({ name, start, end });
    at = skipSpace(json, end);
    if (json[at] === "}") return skipSpace(json, at + 1) === json.length ? members : null;
    if (json[at] !== ",") return null;
    at = skipSpace(json, at + 1);
  }
}

/** The text of a JSON string, or null when it is not one. */
export function readString(token: string): string | null {
  try {
    const value: unknown = JSON.parse(token);
    return typeof value === "string" ? value : null;
  } catch {
    return null;
  }
}

function skipSpace(json: string, from: number): number {
  let at = from;
  while (json[at] === " " || json[at] === "\n" || json[at] === "\r" || json[at] === "\t") at += 1;
  return at;
}

/** Behind the closing quote of the string that begins at `from`; -1 when there is none. */
function stringEnd(json: string, from: number): number {
  if (json[from] !== '"') return -1;
  for (let quote = json.indexOf('"', from + 1); quote !== -1; quote = json.indexOf('"', quote + 1)) {
    let backslashes = 0;
    while (json[quote - 1 - backslashes] === "\\") backslashes += 1;
    if (backslashes % 2 === 0) return quote + 1;
  }
  return -1;
}

/** Behind the value that begins at `from`; -1 when it does not end. */
function valueEnd(json: string, from: number): number {
  const first = json[from];
  if (first === '"') return stringEnd(json, from);
  if (first !== "{" && first !== "[") {
    let at = from;
    while (at < json.length && !",}] \n\r\t".includes(json[at] ?? "")) at += 1;
    return at;
  }
  let depth = 0;
  for (let at = from; at < json.length; at += 1) {
    const char = json[at];
    if (char === '"') {
      at = stringEnd(json, at) - 1;
      if (at < 0) return -1;
    } else if (char === "{" || char === "[") depth += 1;
    else if (char === "}" || char === "]") {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return -1;
}
