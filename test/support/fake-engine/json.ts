/** Any JSON value, as a body was parsed. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json | undefined };

/** The member of an object; undefined where there is no object or no such member. */
export function member(value: Json | undefined, name: string): Json | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return Object.hasOwn(value, name) ? value[name] : undefined;
}

/** The elements of a list; none where it is no list. */
export function list(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : [];
}

/** The string, or an empty one. */
export function text(value: Json | undefined): string {
  return typeof value === "string" ? value : "";
}

/** The number, or null. */
export function number(value: Json | undefined): number | null {
  return typeof value === "number" ? value : null;
}
