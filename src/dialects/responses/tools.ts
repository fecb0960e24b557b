import { PosternError } from "../../errors.ts";
import { type BodyScan, elementsOf, findMember, type Member, membersOf, readString } from "../../lib/json-scan.ts";
import type { FieldPolicy } from "../field-policy.ts";
import { MAX_TOOLS, tooManyTools } from "../request-member.ts";

/**
 * What becomes of a tool.
 *
 * `pass`: the caller runs it. `remove`: a server would run it, with the owner's account and money (Ollama signs searches
 * with the machine's key), but agents such as Codex send it with every request whether or not it is needed. `group`: a
 * group of the caller's functions, which only OpenAI itself understands. `refuse`: the server would run code or call hosts.
 */
export type ToolVerdict = "pass" | "remove" | "group" | "refuse";

const CALLER_TOOLS = new Set(["function", "custom", "local_shell", "shell", "apply_patch"]);
const HABITUAL_TOOLS = new Set(["web_search", "web_search_preview", "image_generation", "tool_search"]);

/** @param type Of a tool, or of a choice among them. */
export function judgeTool(type: string, allow: readonly string[]): ToolVerdict {
  const stem = toolStem(type);
  if (CALLER_TOOLS.has(stem) || allow.includes(`tools.${stem}`)) return "pass";
  if (stem === "namespace") return "group";
  return HABITUAL_TOOLS.has(stem) ? "remove" : "refuse";
}

/** The type of a tool without its date: `web_search_2025_08_26` is `web_search`. */
export function toolStem(type: string): string {
  return type.replace(/_\d{4}_\d{2}_\d{2}$/, "");
}

/** The tools of a body, judged. */
export interface JudgedTools {
  /** All elements of `tools`, in order. */
  elements: readonly Member[];
  removed: ReadonlySet<Member>;
  groups: ReadonlySet<Member>;
  /** Types of both, for `X-Postern-Removed-Fields`. */
  names: readonly string[];
}

/**
 * Judges `tools` and `tool_choice`. Types are found as engines written in Go find them: whatever the case of the name.
 *
 * @throws PosternError `field_refused` for what the server would run, `body_invalid` for what is no tool.
 */
export function judgeTools({ bytes, members }: BodyScan, { allow }: FieldPolicy): JudgedTools {
  const tools = findMember(members, "tools");
  const elements = tools === undefined ? [] : elementsOf(bytes, tools);
  if (elements.length > MAX_TOOLS) throw tooManyTools();
  const removed = new Set<Member>();
  const groups = new Set<Member>();
  const names = new Set<string>();
  for (const element of elements) {
    const type = typeOf(bytes, element, "tools");
    switch (judgeTool(type, allow)) {
      case "pass":
        continue;
      case "remove":
        removed.add(element);
        break;
      case "group":
        groups.add(element);
        break;
      case "refuse":
        throw refused("tools", type);
    }
    names.add(`tools.${toolStem(type)}`);
  }
  const choice = findMember(members, "tool_choice");
  if (choice?.kind === "object") {
    const type = typeOf(bytes, choice, "tool_choice");
    if (type !== "allowed_tools" && judgeTool(type, allow) !== "pass") throw refused("tool_choice", type);
  }
  return { elements, removed, groups, names: [...names] };
}

function typeOf(bytes: Buffer, element: Member, param: string): string {
  const type = membersOf(bytes, element).find(({ folded }) => folded === "type");
  const text = type === undefined ? null : readString(bytes, type);
  if (text === null) {
    throw new PosternError("body_invalid", { message: `"${param}" must hold objects with a "type"`, param });
  }
  return text;
}

function refused(param: string, type: string): PosternError {
  const stem = toolStem(type);
  return new PosternError("field_refused", {
    message: `Tools of type "${/^\w{1,64}$/.test(stem) ? stem : "?"}" are not accepted: the server would run them`,
    param,
  });
}
