import { PosternError } from "../../errors.ts";
import { type BodyScan, type Member, mayHoldName, readString } from "../../lib/json-scan.ts";
import type { Pieces } from "../../lib/turns.ts";
import { findFolded, type Places, placesOf, visitBlocks } from "./content-blocks.ts";

/**
 * Refuses images and documents that somebody would have to fetch: by URL (that is SSRF from the engine's network, reference:
 * engine-apis §5.1) and by file id (files of an account that is not the caller's).
 *
 * Most prompts hold neither; names and bytes that cannot be missing from one that does are looked for first.
 *
 * @param allowUrls Whether the operator lets engines fetch. File ids are refused all the same.
 * @throws PosternError `field_refused` naming `messages`; `body_ambiguous` where a block names something twice.
 */
export function* refuseRemoteSources(scan: BodyScan, messages: Member, allowUrls: boolean): Pieces<void> {
  const { bytes } = scan;
  yield* visitBlocks(bytes, messages, suspectPlaces(scan, messages, allowUrls), (block, source) => {
    if (findFolded(block, "file_id") !== undefined) throw refused(BY_FILE);
    if (!allowUrls) {
      for (const { folded } of block) if (folded.endsWith("_url")) throw refused(BY_URL);
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

/** An ending that no name has; all endings are set when a name has escapes. */
const NO_ENDING = "\u0001\u0002\u0003";
/** Go matches names in any case; these are all ways to write the ends of `url` and `source`. */
const URL_ENDINGS = inAnyCase("url");
const SOURCE_ENDINGS = inAnyCase("rce");

/**
 * Where a block may begin to be one that is refused: at the name of its `source`, where a URL is somewhere too, of an
 * `…_url` or of a `file_id`. A quote inside a text is escaped, so a text cannot look like the end of a name.
 */
function suspectPlaces(scan: BodyScan, messages: Member, allowUrls: boolean): Places {
  // Names with escapes can be written in many ways.
  if (mayHoldName(scan, NO_ENDING)) return null;
  const texts = mayHoldName(scan, "_id") ? ['file_id"'] : [];
  if (!allowUrls) {
    const urls = closed(scan, URL_ENDINGS);
    texts.push(...urls.map((text) => `_${text}`));
    // The type alone may say it: `{"type":"url"}` reads like a name at its end.
    if (isThere(placesOf(scan.bytes, messages, urls.concat('"url"')))) texts.push(...closed(scan, SOURCE_ENDINGS));
  } else if (isThere(placesOf(scan.bytes, messages, ['"file"']))) {
    texts.push(...closed(scan, SOURCE_ENDINGS));
  }
  return placesOf(scan.bytes, messages, texts);
}

function isThere(places: Places): boolean {
  return places === null || places.length > 0;
}

/** The endings that a name in the body may have, each with its closing quote. */
function closed(scan: BodyScan, endings: readonly string[]): string[] {
  return endings.filter((ending) => mayHoldName(scan, ending)).map((ending) => `${ending}"`);
}

function inAnyCase(ending: string): string[] {
  const [first = "", ...rest] = ending;
  const tails = rest.length === 0 ? [""] : inAnyCase(rest.join(""));
  return tails.flatMap((tail) => [first + tail, first.toUpperCase() + tail]);
}

function refused(message: string): PosternError {
  return new PosternError("field_refused", { message, param: "messages" });
}
