import { PosternError } from "../../errors.ts";
import { type BodyScan, elementsOf, type Member, mayHoldName, membersOf, readString } from "../../lib/json-scan.ts";
import { PIECE_PARTS, type Pieces } from "../../lib/turns.ts";

const ITEM_REFERENCE = '"item_reference"';
const FILE_ID = 'file_id"';
/** An ending that no name has; all endings are set when a name has escapes. */
const NO_ENDING = "\u0001\u0002\u0003";

/**
 * Refuses parts of the input that a server would have to fetch (images and files by URL: SSRF from the engine's network,
 * reference: engine-apis §5.1) or to have kept (file ids, references to earlier items).
 *
 * Most inputs hold none; names and bytes that cannot be missing from one that does are looked for first.
 *
 * @throws PosternError `field_refused` naming `input`; `body_ambiguous` where a part names something twice.
 */
export function* refuseRemoteInput(scan: BodyScan, input: Member, remoteMedia: boolean): Pieces<void> {
  if (input.kind !== "array") return;
  const { bytes } = scan;
  const text = bytes.subarray(input.valueStart, input.valueEnd);
  const isEscaped = mayHoldName(scan, NO_ENDING);
  const hasUrls = !remoteMedia && (mayHoldName(scan, "url") || mayHoldName(scan, "URL"));
  const hasIds = text.includes(FILE_ID) || text.includes(ITEM_REFERENCE);
  if (!hasUrls && !hasIds && !isEscaped) return;
  let looked = 0;
  for (const item of elementsOf(bytes, input)) {
    if (++looked % PIECE_PARTS === 0) yield;
    for (const member of membersOf(bytes, item)) {
      if (member.name === "type" && readString(bytes, member) === "item_reference") {
        throw refused("Earlier items are not kept here: send the whole conversation as input");
      }
      refuseMember(bytes, member, remoteMedia);
      for (const part of elementsOf(bytes, member)) {
        if (++looked % PIECE_PARTS === 0) yield;
        refusePart(bytes, part, remoteMedia);
      }
      if (member.name === "output") refusePart(bytes, member, remoteMedia);
    }
  }
}

function refusePart(bytes: Buffer, part: Member, remoteMedia: boolean): void {
  for (const member of membersOf(bytes, part)) {
    refuseMember(bytes, member, remoteMedia);
    for (const inner of membersOf(bytes, member)) refuseMember(bytes, inner, remoteMedia);
  }
}

function refuseMember(bytes: Buffer, member: Member, remoteMedia: boolean): void {
  const name = member.name.toLowerCase();
  if (member.kind === "null") return;
  if (name === "file_id" || name.endsWith("_embeds"))
    throw refused("Files are not known here: send them inside the request");
  if (remoteMedia || (name !== "url" && !name.endsWith("_url")) || member.kind === "object") return;
  const text = readString(bytes, member);
  if (text === null) throw refused("A media URL must be a string");
  if (!text.startsWith("data:")) {
    throw refused("Media are not fetched from URLs here: send them inside the request as a data: URL");
  }
}

function refused(message: string): PosternError {
  return new PosternError("field_refused", { message, param: "input" });
}
