import { PosternError } from "../../errors.ts";
import {
  type BodyScan,
  elementsOf,
  findMember,
  type Member,
  mayHoldName,
  membersOf,
  readString,
} from "../../lib/json-scan.ts";
import { PIECE_PARTS, type Pieces } from "../../lib/turns.ts";

/**
 * Refuses media that an engine would fetch: callers must send them inside the request (`data:` URLs or base64), because a
 * fetched URL reaches the engine's own network and files (reference: engine-apis §5.1, SSRF; `file://` in llama-server,
 * bare paths in SGLang).
 *
 * Most prompts hold no media; the scan has seen that, so that they cost nothing here. Only parts of a message's `content` are
 * looked into, because engines read media from there alone.
 *
 * @throws PosternError `field_refused` naming `messages`; `body_ambiguous` where a part names something twice.
 */
export function* refuseRemoteMedia(scan: BodyScan, messages: Member): Pieces<void> {
  if (!MEDIA_ENDINGS.some((ending) => mayHoldName(scan, ending))) return;
  const { bytes } = scan;
  let looked = 0;
  for (const message of elementsOf(bytes, messages)) {
    if (++looked % PIECE_PARTS === 0) yield;
    const content = findMember(membersOf(bytes, message), "content");
    if (content === undefined) continue;
    for (const part of elementsOf(bytes, content)) {
      if (++looked % PIECE_PARTS === 0) yield;
      refusePart(bytes, part);
    }
  }
}

/** How the names of all known media members end: `…_url`, `url`, `…audio`, `…video`, `…_embeds`, `file`, `…image`. */
const MEDIA_ENDINGS = ["url", "dio", "deo", "eds", "ile", "age"] as const;

const PLAIN_MEMBERS = new Set(["type", "text", "refusal", "detail", "format", "cache_control", "filename"]);

function refusePart(bytes: Buffer, part: Member): void {
  for (const member of membersOf(bytes, part)) {
    if (member.name.endsWith("_embeds")) throw refused("Embeddings instead of media are not accepted");
    if (PLAIN_MEMBERS.has(member.name)) continue;
    const mustBeData = member.name === "url" || member.name.endsWith("_url");
    if (member.kind === "string") refuseUrl(bytes, member, mustBeData);
    for (const inner of membersOf(bytes, member)) {
      if (PLAIN_MEMBERS.has(inner.name)) continue;
      if (inner.kind === "string") refuseUrl(bytes, inner, inner.name === "url" || inner.name.endsWith("_url"));
      else if (mustBeData && inner.name === "url") throw refused("A media URL must be a string");
    }
    for (const inner of elementsOf(bytes, member)) {
      if (inner.kind !== "number") throw refused("A media part must not hold a list");
    }
  }
}

const SCHEME = /^\s*[A-Za-z][A-Za-z0-9+.-]*:/;

function refuseUrl(bytes: Buffer, member: Member, mustBeData: boolean): void {
  const start = bytes.toString("latin1", member.valueStart + 1, Math.min(member.valueStart + 65, member.valueEnd - 1));
  if (start.startsWith("data:")) return;
  const text = start.includes("\\") ? (readString(bytes, member) ?? "") : start;
  if (text.startsWith("data:")) return;
  if (mustBeData || SCHEME.test(text)) {
    throw refused("Media are not fetched from URLs here: send them inside the request as a data: URL");
  }
}

function refused(message: string): PosternError {
  return new PosternError("field_refused", { message, param: "messages" });
}
