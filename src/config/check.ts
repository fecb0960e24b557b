import type { z } from "zod";
import { type ConfigFault, showSeen } from "./diagnostics.ts";
import { configSchema, NOT_YET, type RawConfig } from "./schema.ts";
import type { YamlSource } from "./yaml-source.ts";

/** Reads the document with the schema. Either everything is right, or all faults come back together. */
export function checkConfig(source: YamlSource, sourceName: string): { raw: RawConfig } | { faults: ConfigFault[] } {
  const result = configSchema.safeParse(source.data);
  if (result.success) return { raw: result.data };
  const faults = result.error.issues.flatMap((issue) => toFaults(issue, source, sourceName));
  return { faults };
}

function toFaults(issue: z.core.$ZodIssue, source: YamlSource, sourceName: string): ConfigFault[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => fault([...issue.path, key], unknownKey([...issue.path, key]), true, false));
  }
  if (issue.code === "invalid_key") {
    return [fault(issue.path, `has a name that ${issue.issues[0]?.message ?? "is not valid"}`, true, false)];
  }
  const value = valueAt(source.data, issue.path);
  const meant = issue.code === "invalid_union" ? findMeant(issue.errors) : null;
  if (meant !== null) {
    return meant.flatMap((one) => toFaults({ ...one, path: [...issue.path, ...one.path] }, source, sourceName));
  }
  if (value === undefined) return [fault(issue.path, "is missing", false, false)];
  return [fault(issue.path, ruleOf(issue), false, true)];

  function fault(path: readonly PropertyKey[], rule: string, atKey: boolean, showValue: boolean): ConfigFault {
    return {
      source: sourceName,
      ...source.locate(path, atKey),
      path: formatPath(path),
      rule,
      seen: showValue && !isSecretPlace(path) ? showSeen(String(path.at(-1) ?? ""), valueAt(source.data, path)) : null,
    };
  }
}

/** Where a value is a secret, though its name does not say so: who knows a webhook's address can use it. */
function isSecretPlace(path: readonly PropertyKey[]): boolean {
  return path[0] === "alerts" && /^(?:url|topic)$/.test(String(path.at(-1)));
}

/** Of several forms that a value may have, the faults of the one whose type it has. */
function findMeant(forms: z.core.$ZodIssue[][]): z.core.$ZodIssue[] | null {
  const meant = forms.filter(
    (issues) => !issues.some(({ code, path }) => code === "invalid_type" && path.length === 0),
  );
  return meant.length === 1 ? (meant[0] ?? null) : null;
}

function ruleOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return `must be ${EXPECTED[issue.expected] ?? issue.expected}`;
    case "invalid_value":
      return `must be one of ${issue.values.map(String).join(", ")}`;
    case "too_small":
      return `must ${issue.origin === "array" ? "have" : "be"} at least ${issue.minimum}${countWord(issue.origin)}`;
    case "too_big":
      return `must ${issue.origin === "array" ? "have" : "be"} at most ${issue.maximum}${countWord(issue.origin)}`;
    default:
      return issue.message;
  }
}

const EXPECTED: Readonly<Record<string, string>> = {
  string: 'text (in quotes where it looks like a number: "30s")',
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  object: "a map",
  record: "a map of names",
  array: "a list",
};

function countWord(origin: string): string {
  return origin === "string" ? " characters long" : origin === "array" ? " entries" : "";
}

function unknownKey(path: readonly PropertyKey[]): string {
  const dotted = formatPath(path);
  const isLater = NOT_YET.some((pattern) =>
    new RegExp(`^${pattern.replaceAll(".", "\\.").replace("*", "[^.]+")}$`).test(dotted),
  );
  return isLater ? "is not available yet in this version" : "is not a key that exists";
}

function valueAt(data: unknown, path: readonly PropertyKey[]): unknown {
  let value = data;
  for (const part of path) {
    if (value === null || typeof value !== "object") return undefined;
    value = (value as Record<PropertyKey, unknown>)[part];
  }
  return value;
}

/** `nodes.forge.url`, `models.x.targets[0].model`. */
export function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text === "" ? String(part) : `${text}.${String(part)}`;
  }, "");
}
