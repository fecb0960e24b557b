const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;

/** By character: 1 in a field's name (`tchar`), 2 in its value (RFC 9110 §5.5, §5.6.2). */
const CLASSES = new Uint8Array(256);
for (let code = 0x80; code <= 0xff; code++) CLASSES[code] = 2;
for (let code = SPACE; code <= 0x7e; code++) {
  CLASSES[code] = /[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(String.fromCharCode(code)) ? 3 : 2;
}
CLASSES[TAB] = 2;

/** Names as programs write them, so that they need not be made each time. */
const USUAL_NAMES: ReadonlyMap<string, string> = new Map(
  (
    "Accept Accept-Encoding Accept-Language Authorization Connection Content-Length Content-Type Date Host Keep-Alive Origin " +
    "Server Transfer-Encoding User-Agent Via X-Api-Key X-Forwarded-For X-Forwarded-Proto X-Stainless-Arch X-Stainless-Lang " +
    "X-Stainless-OS X-Stainless-Package-Version X-Stainless-Retry-Count X-Stainless-Runtime X-Stainless-Runtime-Version " +
    "X-Stainless-Timeout Anthropic-Version"
  )
    .split(" ")
    .flatMap((name) => [
      [name, name.toLowerCase()],
      [name.toLowerCase(), name.toLowerCase()],
    ]),
);

/**
 * Reads header or trailer fields.
 *
 * @param into Gets name (in lower case) and value in turn.
 * @returns Whether everything from `at` on is fields, and nothing but fields.
 */
export function readFields(text: string, at: number, into: string[]): boolean {
  while (at < text.length) {
    const nameAt = at;
    while ((classOf(text, at) & 1) !== 0) at++;
    if (at === nameAt || text.charCodeAt(at) !== COLON) return false;
    const name = text.slice(nameAt, at++);
    while (isBlank(text.charCodeAt(at))) at++;
    const valueAt = at;
    let valueEnd = at;
    while ((classOf(text, at) & 2) !== 0) if (!isBlank(text.charCodeAt(at++))) valueEnd = at;
    if (text.charCodeAt(at) !== CR || text.charCodeAt(at + 1) !== LF) return false;
    into.push(USUAL_NAMES.get(name) ?? name.toLowerCase(), text.slice(valueAt, valueEnd));
    at += 2;
  }
  return true;
}

function classOf(text: string, at: number): number {
  return CLASSES[text.charCodeAt(at)] ?? 0;
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}
