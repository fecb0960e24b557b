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

/**
 * Refuses images that are not inside the request. Ollama takes base64 only; other engines that speak its dialect (SGLang)
 * would fetch a URL or open a path from the engine's network and disk.
 *
 * Only the exact name is looked for: Ollama also reads `Images`, but fetches nothing.
 *
 * @throws PosternError `field_refused` naming `images` or `messages`; `body_ambiguous`.
 */
export function refuseRemoteImages(scan: BodyScan): void {
  const { bytes, members } = scan;
  const images = findMember(members, "images");
  if (images !== undefined) refuseList(bytes, images, "images");
  const messages = findMember(members, "messages");
  if (messages === undefined || !mayHoldName(scan, "ges")) return;
  for (const message of elementsOf(bytes, messages)) {
    const own = findMember(membersOf(bytes, message), "images");
    if (own !== undefined) refuseList(bytes, own, "messages");
  }
}

/** Whether a text may be the base64 of a picture. Not a path, not a URL, no `data:` prefix, which Ollama does not read. */
export function isPlainBase64(text: string): boolean {
  return !FOREIGN.test(text.slice(0, LOOKED_AT)) && !isPath(text);
}

/** Where a scheme, a path or a prefix would show. The engine checks the rest when it decodes. */
const LOOKED_AT = 1024;
const FOREIGN = /[^A-Za-z0-9+/=_\r\n-]/;

/** Of the pictures that engines read, only JPEG begins with a slash. */
function isPath(text: string): boolean {
  return text.startsWith("/") && !text.startsWith("/9j/");
}

function refuseList(bytes: Buffer, list: Member, param: string): void {
  for (const image of elementsOf(bytes, list)) {
    if (image.kind !== "string") throw refused(param);
    // A slash may be escaped, which makes a character of two; the start is long enough all the same.
    const start = bytes.subarray(image.valueStart + 1, Math.min(image.valueEnd - 1, image.valueStart + 1 + LOOKED_AT));
    const text = start.includes(0x5c) ? (readString(bytes, image) ?? "") : start.toString("latin1");
    if (!isPlainBase64(text)) throw refused(param);
  }
}

function refused(param: string): PosternError {
  return new PosternError("field_refused", {
    message: "Images must be inside the request, as plain base64 without a data: prefix",
    param,
  });
}
