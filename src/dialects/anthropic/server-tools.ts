import { PosternError } from "../../errors.ts";
import { type BodyScan, elementsOf, findMember, membersOf, readString } from "../../lib/json-scan.ts";
import type { FieldPolicy } from "../field-policy.ts";
import { MAX_TOOLS, tooManyTools } from "../request-member.ts";
import { findFolded } from "./content-blocks.ts";

/**
 * Refuses tools that the server would run itself: searches and fetches with the owner's account and money (Ollama signs them
 * with the machine's key, reference: engine-apis §1.1), code in the account's containers, hosts that the caller names. They
 * are told by a dated `type` such as `web_search_20250305`.
 *
 * What the caller runs on its own machine passes: tools without a type or of type `custom`, and the ones that Anthropic
 * defined for callers (`bash_…`, `text_editor_…`, `computer_…`, `memory_…`). Everything else is refused rather than taken
 * out, because a model that was promised a search and has none makes its findings up. An operator who wants one lists it
 * without its date: `allow: ["tools.web_search"]`.
 *
 * @throws PosternError `field_refused` naming `tools`, `body_invalid`; `body_ambiguous` where a tool names something twice.
 */
export function refuseServerTools({ bytes, members }: BodyScan, policy: FieldPolicy): void {
  const tools = findMember(members, "tools");
  if (tools === undefined || policy.allow.includes("tools")) return;
  const listed = elementsOf(bytes, tools);
  if (listed.length > MAX_TOOLS) throw tooManyTools();
  for (const tool of listed) {
    if (tool.kind !== "object") {
      throw new PosternError("body_invalid", { message: '"tools" must be a list of objects', param: "tools" });
    }
    const member = findFolded(membersOf(bytes, tool), "type");
    if (member === undefined || member.kind === "null") continue;
    const stem = toolStem(readString(bytes, member) ?? "");
    if (!CALLER_TOOLS.has(stem) && !policy.allow.includes(`tools.${stem}`)) {
      throw new PosternError("field_refused", {
        message: `Tools of type "${/^\w{1,64}$/.test(stem) ? stem : "?"}" are not accepted: the server would run them`,
        param: "tools",
      });
    }
  }
}

/** The type of a tool without its date: `web_search_20250305` is `web_search`. */
function toolStem(type: string): string {
  return type.replace(/_\d{8}$/, "");
}

/** Run by the caller. */
const CALLER_TOOLS: ReadonlySet<string> = new Set([
  "custom",
  "function",
  "bash",
  "text_editor",
  "computer",
  "memory",
  "browser_toolset",
  "computer_toolset",
]);
