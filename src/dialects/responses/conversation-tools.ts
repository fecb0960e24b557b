import type { Conversation, ToolDefinition } from "../conversation.ts";
import { readFunction } from "../openai/conversation-reader.ts";
import {
  invalidMember,
  isAbsent,
  type JsonObject,
  listAt,
  nameAt,
  objectAt,
  textAt,
  untranslatable,
} from "../request-member.ts";
import { judgeTool, toolStem } from "./tools.ts";

/** Between the name of a group and that of its function, where the other side knows no groups. Codex puts MCP servers into groups. */
const GROUP_MARK = "-ns-";

/** The one name of a function in a group. */
export function groupedName(group: unknown, name: string): string {
  return typeof group === "string" && group !== "" ? `${group}${GROUP_MARK}${name}` : name;
}

/** The group and the name of a function, as the caller knows them. */
export function splitName(name: string): { namespace?: string; name: string } {
  const at = name.indexOf(GROUP_MARK);
  if (at <= 0) return { name };
  return { namespace: name.slice(0, at), name: name.slice(at + GROUP_MARK.length) };
}

/**
 * Reads `tools`: functions, and those in groups under one name each. Tools that servers run and that agents send by habit
 * are dropped and named.
 *
 * @throws PosternError `untranslatable` for tools without a counterpart, `body_invalid`.
 */
export function readTools(value: unknown, dropped: Set<string>): ToolDefinition[] {
  if (isAbsent(value)) return [];
  return listAt(value, "tools").flatMap((item, index) =>
    readTool(objectAt(item, `tools[${index}]`), `tools[${index}]`, dropped),
  );
}

function readTool(tool: JsonObject, at: string, dropped: Set<string>): ToolDefinition[] {
  const type = nameAt(tool["type"], `${at}.type`);
  if (type === "function") {
    const definition = readFunction(tool, at);
    if (definition.name.includes(GROUP_MARK)) {
      throw untranslatable(`${at}.name`, `names with "${GROUP_MARK}" stand for groups there`);
    }
    return [definition];
  }
  if (type === "namespace") {
    const group = nameAt(tool["name"], `${at}.name`);
    return listAt(tool["tools"], `${at}.tools`).flatMap((item, index) =>
      readTool(objectAt(item, `${at}.tools[${index}]`), `${at}.tools[${index}]`, dropped).map((definition) => ({
        ...definition,
        name: groupedName(group, definition.name),
      })),
    );
  }
  if (judgeTool(type, []) === "remove") {
    dropped.add(`tools.${toolStem(type)}`);
    return [];
  }
  throw untranslatable(`${at}.type`, "only function tools have a counterpart there");
}

/**
 * Reads `tool_choice`. A choice among some of the tools leaves the others out.
 *
 * @throws PosternError `untranslatable`, `body_invalid`.
 */
export function readToolChoice(
  value: unknown,
  tools: ToolDefinition[],
): { tools: ToolDefinition[]; toolChoice: Conversation["toolChoice"] } {
  if (isAbsent(value)) return { tools, toolChoice: null };
  if (typeof value === "string") return { tools, toolChoice: mode(value, "tool_choice") };
  const choice = objectAt(value, "tool_choice");
  if (choice["type"] === "function") {
    const name = groupedName(choice["namespace"], nameAt(choice["name"], "tool_choice.name"));
    return { tools, toolChoice: { name } };
  }
  if (choice["type"] !== "allowed_tools") throw untranslatable("tool_choice", "only functions can be chosen there");
  const allowed = new Set(
    listAt(choice["tools"], "tool_choice.tools").map((item, index) => {
      const at = `tool_choice.tools[${index}]`;
      const tool = objectAt(item, at);
      if (tool["type"] !== "function") throw untranslatable(`${at}.type`, "only functions can be chosen there");
      return groupedName(tool["namespace"], nameAt(tool["name"], `${at}.name`));
    }),
  );
  return {
    tools: tools.filter(({ name }) => allowed.has(name)),
    toolChoice: mode(textAt(choice["mode"], "tool_choice.mode"), "tool_choice.mode"),
  };
}

function mode(value: string, param: string): "auto" | "none" | "required" {
  if (value === "auto" || value === "none" || value === "required") return value;
  throw invalidMember(param, "auto, none, required or a function", value);
}
