import { PosternError } from "../errors.ts";

/** A parsed JSON object of a caller or an engine: hostile until each member has been looked at. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Whether a parsed value is an object with names. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether the caller said nothing: members may be left out or null. */
export function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

/** @throws PosternError `body_invalid`. */
export function objectAt(value: unknown, param: string): JsonObject {
  if (!isJsonObject(value)) throw invalidMember(param, "an object", value);
  return value;
}

/** @throws PosternError `body_invalid`. */
export function listAt(value: unknown, param: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalidMember(param, "a list", value);
  return value;
}

/** @throws PosternError `body_invalid`. */
export function textAt(value: unknown, param: string): string {
  if (typeof value !== "string") throw invalidMember(param, "a string", value);
  return value;
}

/** A name or id: a string that is not empty. @throws PosternError `body_invalid`. */
export function nameAt(value: unknown, param: string): string {
  if (typeof value !== "string" || value === "") throw invalidMember(param, "a string that is not empty", value);
  return value;
}

/** Null where nothing was said. @throws PosternError `body_invalid`. */
export function optionalNumber(value: unknown, param: string): number | null {
  if (isAbsent(value)) return null;
  // JSON knows numbers beyond a double: they parse to infinity.
  if (typeof value !== "number" || !Number.isFinite(value)) throw invalidMember(param, "a number", value);
  return value;
}

/** Null where nothing was said. @throws PosternError `body_invalid`. */
export function optionalInteger(value: unknown, param: string): number | null {
  if (isAbsent(value)) return null;
  if (!Number.isSafeInteger(value)) throw invalidMember(param, "a whole number", value);
  return value as number;
}

/** Null where nothing was said. @throws PosternError `body_invalid`. */
export function optionalBoolean(value: unknown, param: string): boolean | null {
  if (isAbsent(value)) return null;
  if (typeof value !== "boolean") throw invalidMember(param, "true or false", value);
  return value;
}

/** Null where nothing was said. @throws PosternError `body_invalid`. */
export function optionalText(value: unknown, param: string): string | null {
  return isAbsent(value) ? null : textAt(value, param);
}

/** The 400 for a member that is not what its dialect says. */
export function invalidMember(param: string, wanted: string, value: unknown): PosternError {
  return new PosternError("body_invalid", { message: `"${param}" must be ${wanted}, got ${kindOf(value)}`, param });
}

/** The 400 for something that the target's dialect, or the words in between, cannot say. */
export function untranslatable(param: string, reason: string): PosternError {
  return new PosternError("untranslatable", {
    message: `"${param}" cannot be translated for the server of this model: ${reason}`,
    param,
  });
}

/** Most tools of a request. Agents with many servers have some hundreds; policy looks at each. */
export const MAX_TOOLS = 4096;

/** The 400 for more of them. */
export function tooManyTools(): PosternError {
  return new PosternError("body_too_deep", {
    message: `The request body has more than ${MAX_TOOLS} tools`,
    param: "tools",
  });
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return typeof value === "string" ? (value === "" ? "an empty string" : "a string") : "an object";
}
