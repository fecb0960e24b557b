import { PosternError } from "../../errors.ts";
import { type BodyScan, scanBody } from "../../lib/json-scan.ts";
import { type FormPart, parseForm, readBoundary } from "../../lib/multipart.ts";

/** A form in the place of a scanned JSON body: no members, but parts. */
export interface FormScan extends BodyScan {
  parts: readonly FormPart[];
}

/** What our own boundaries look like. The agent, which uses no header of the gateway's, knows them by that. */
const OWN_BOUNDARY = /^--(postern-[0-9a-f]{32})\r\n/;
/** Longest first line of a form of ours. */
const OWN_LINE_BYTES = 64;

/** A boundary that no caller can have foreseen. @param random 16 random bytes. */
export function ownBoundary(random: Buffer): string {
  return `postern-${random.toString("hex")}`;
}

/**
 * The boundary of a form that was built with `ownBoundary`.
 *
 * @throws PosternError `body_not_form` for any other body.
 */
export function findOwnBoundary(bytes: Buffer): string {
  const boundary = OWN_BOUNDARY.exec(bytes.toString("latin1", 0, OWN_LINE_BYTES))?.[1];
  if (boundary === undefined) throw new PosternError("body_not_form");
  return boundary;
}

const NO_MEMBERS = scanBody(Buffer.from("{}"));

/** Reads a form. @param contentType As the caller said it; null for a form with a boundary of ours. */
export function scanForm(bytes: Buffer, contentType: string | undefined | null): FormScan {
  const boundary = contentType === null ? findOwnBoundary(bytes) : readBoundary(contentType);
  return { ...NO_MEMBERS, bytes, parts: parseForm(bytes, boundary) };
}

/** The form that `scanForm` has read. */
export function asForm(scan: BodyScan): FormScan {
  if (!("parts" in scan)) throw new TypeError("not a form");
  return scan as FormScan;
}
