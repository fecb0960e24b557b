/**
 * A value as JSON that is the same text for the same value: members sorted by their names, no spaces. Members that are
 * `undefined` are left out.
 *
 * @throws TypeError for what JSON does not have (bigints, functions, NaN, infinity).
 * @see RFC 8785; numbers are written as ECMAScript does, which is what it asks for
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`);
    return `{${members.join(",")}}`;
  }
  const isText = value === null || typeof value === "string" || typeof value === "boolean" || Number.isFinite(value);
  if (!isText) throw new TypeError(`canonicalJson() cannot write ${typeof value} ${String(value)}`);
  return JSON.stringify(value);
}
