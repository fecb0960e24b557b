import { PosternError } from "../../errors.ts";
import { type BodyScan, type Member, mayHoldName, readString } from "../../lib/json-scan.ts";
import { foldName } from "../../lib/json-scanner.ts";
import { findFolded, visitBlocks } from "./content-blocks.ts";

/**
 * Refuses images and documents that somebody would have to fetch: by URL (that is SSRF from the engine's network, reference:
 * engine-apis §5.1) and by file id (files of an account that is not the caller's).
 *
 * Most prompts hold neither; names and bytes that cannot be missing from one that does are looked for first.
 *
 * @param allowUrls Whether the operator lets engines fetch. File ids are refused all the same.
 * @throws PosternError `field_refused` naming `messages`; `body_ambiguous` where a block names something twice.
 */
export function refuseRemoteSources(scan: BodyScan, messages: Member, allowUrls: boolean): void {
  if (!mayHoldRemote(scan, messages, allowUrls)) return;
  const { bytes } = scan;
  visitBlocks(bytes, messages, (block, source) => {
    if (findFolded(block, "file_id") !== undefined) throw refused(BY_FILE);
    if (!allowUrls) {
      for (const member of block) if (foldName(member.name).endsWith("_url")) throw refused(BY_URL);
    }
    if (source === null) return;
    const type = findFolded(source, "type");
    const kind = type === undefined ? null : readString(bytes, type);
    if (kind === "file" || findFolded(source, "file_id") !== undefined) throw refused(BY_FILE);
    if (!allowUrls && (kind === "url" || findFolded(source, "url") !== undefined)) throw refused(BY_URL);
  });
}

const BY_URL = "Media are not fetched from URLs here: send them inside the request as base64";
const BY_FILE = "Files are not known here: send them inside the request as base64";

/** Go matches names in any case, the others only as they are. */
const URL_ENDINGS = ["url", "Url", "URL", "uRl", "urL", "URl", "UrL", "uRL"] as const;
/** An ending that no name has; all endings are set when a name has escapes. */
const NO_ENDING = "\u0001\u0002\u0003";

function mayHoldRemote(scan: BodyScan, messages: Member, allowUrls: boolean): boolean {
  if (mayHoldName(scan, NO_ENDING)) return true;
  const text = scan.bytes.subarray(messages.valueStart, messages.valueEnd);
  if (mayHoldName(scan, "_id") && text.includes('file_id"')) return true;
  return !allowUrls && URL_ENDINGS.some((ending) => mayHoldName(scan, ending) && text.includes(`${ending}"`));
}

function refused(message: string): PosternError {
  return new PosternError("field_refused", { message, param: "messages" });
}
