import { PosternError } from "../errors.ts";

/** One part of a form. */
export interface FormPart {
  name: string;
  /** Null for a field. As the sender wrote it: for looking at, never for a path. */
  fileName: string | null;
  /** A part of the form's own bytes. */
  value: Buffer;
}

/** Most parts of a form. */
const MAX_PARTS = 32;
/** Longest head of a part, in bytes. */
const MAX_HEAD_BYTES = 4096;
/** Most header lines of a part. */
const MAX_HEAD_LINES = 8;

const CRLF = Buffer.from("\r\n");
const END_OF_HEAD = Buffer.from("\r\n\r\n");

/**
 * The boundary that a `Content-Type: multipart/form-data` names.
 *
 * @param contentType The header's value; undefined where there was none.
 * @throws PosternError `body_not_form` for every other type, and for parameters that RFC 2046 §5.1.1 and RFC 7578 §4 do not know.
 */
export function readBoundary(contentType: string | undefined): string {
  const found = /^multipart\/form-data[ \t]*;[ \t]*boundary=(?:"([^"\\]*)"|([^\s;"]*))[ \t]*$/i.exec(contentType ?? "");
  const boundary = found?.[1] ?? found?.[2];
  if (boundary === undefined || !BOUNDARY.test(boundary)) {
    throw notAForm('The request must say "Content-Type: multipart/form-data" with a boundary and nothing else');
  }
  return boundary;
}

/**
 * RFC 2046 §5.1.1, up to 70 characters of which the last is no space; but at least 8. No client makes shorter ones, and 32 MiB of line
 * ends take Node's search half a second with a boundary of two characters, 20 ms with these.
 */
const BOUNDARY = /^[A-Za-z0-9'()+_,./:=? -]{7,69}[A-Za-z0-9'()+_,./:=?-]$/;

/**
 * Cuts a form into its parts (RFC 7578, RFC 2046 §5.1).
 *
 * Strict on purpose, because forms are read differently by every server (some take the first of two parts of one name, some
 * the last; some a boundary with spaces behind it): nothing before the first boundary, nothing but a line end after the last
 * one, no line in a part that only begins like a boundary, no folded headers, no parameters that are not known, and a name for
 * every part. What a caller sends is never passed on as it is: see `buildForm`.
 *
 * @param bytes The whole body. Not copied.
 * @throws PosternError `body_not_form`, with what is wrong; `body_too_deep` for too many parts.
 */
export function parseForm(bytes: Buffer, boundary: string): FormPart[] {
  const first = Buffer.from(`--${boundary}\r\n`, "latin1");
  const delimiter = Buffer.from(`\r\n--${boundary}`, "latin1");
  if (!bytes.subarray(0, first.length).equals(first)) throw notAForm("The form does not begin with its boundary");
  const parts: FormPart[] = [];
  for (let start = first.length; ; ) {
    if (parts.length >= MAX_PARTS) {
      throw new PosternError("body_too_deep", { message: `The form has more than ${MAX_PARTS} parts` });
    }
    const headEnd = bytes.subarray(start, start + MAX_HEAD_BYTES).indexOf(END_OF_HEAD);
    if (headEnd === -1) throw notAForm("A part of the form has no end of its headers, or too many of them");
    const valueStart = start + headEnd + END_OF_HEAD.length;
    const valueEnd = bytes.indexOf(delimiter, valueStart);
    if (valueEnd === -1) throw notAForm("The form ends in the middle of a part");
    // Some servers let the line end of the head be that of the next boundary too: an empty part to them, a long one to others.
    if (
      bytes.subarray(valueStart, valueStart + delimiter.length - CRLF.length).equals(delimiter.subarray(CRLF.length))
    ) {
      throw notAForm("A part of the form begins with the boundary");
    }
    const head = readHead(bytes.subarray(start, start + headEnd));
    parts.push({ ...head, value: bytes.subarray(valueStart, valueEnd) });
    const next = valueEnd + delimiter.length;
    if (bytes[next] === 0x2d && bytes[next + 1] === 0x2d) {
      const rest = bytes.subarray(next + 2);
      if (rest.length > 0 && !rest.equals(CRLF)) throw notAForm("The form has something behind its last boundary");
      return parts;
    }
    if (bytes[next] !== CRLF[0] || bytes[next + 1] !== CRLF[1]) {
      throw notAForm("A line of the form begins like its boundary and is none");
    }
    start = next + CRLF.length;
  }
}

/** What a part of a form that is built says of itself. Names and types are ours, never a caller's. */
export interface BuiltPart {
  name: string;
  /** With its type; null for a field. */
  file: { name: string; type: string } | null;
  value: Buffer;
}

/**
 * A form in the one way that we write it. `parseForm` reads it as the same parts.
 *
 * @param boundary Must not stand in any value: make it of enough randomness that a caller cannot guess it.
 */
export function buildForm(parts: readonly BuiltPart[], boundary: string): Buffer {
  const pieces: Buffer[] = [];
  for (const { name, file, value } of parts) {
    const fileName = file === null ? "" : `; filename="${file.name}"\r\nContent-Type: ${file.type}`;
    pieces.push(
      Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="${name}"${fileName}\r\n\r\n`, "latin1"),
      value,
      CRLF,
    );
  }
  pieces.push(Buffer.from(`--${boundary}--\r\n`, "latin1"));
  return Buffer.concat(pieces);
}

type Head = Omit<FormPart, "value">;

/** Headers other than these two are looked at for their form only: none of them is passed on. */
function readHead(bytes: Buffer): Head {
  const lines = bytes.toString("latin1").split("\r\n");
  if (lines.length > MAX_HEAD_LINES) throw notAForm("A part of the form has too many headers");
  const seen = new Set<string>();
  let head: Head | null = null;
  for (const line of lines) {
    const found = HEADER.exec(line);
    const name = found?.[1]?.toLowerCase();
    if (found === null || name === undefined || seen.has(name)) throw notAForm("A part of the form has an odd header");
    seen.add(name);
    const value = found[2] ?? "";
    if (name === "content-disposition") head = readDisposition(value);
    // RFC 7578 §4.7: deprecated; an encoding would have to be undone, and servers do not agree on who does.
    if (name === "content-transfer-encoding" && !/^(?:7bit|8bit|binary)$/i.test(value)) {
      throw notAForm("A part of the form has an encoding of its own");
    }
  }
  if (head === null) throw notAForm("A part of the form has no name");
  return head;
}

/** A header line: a token, a colon, a value without control characters. A folded line begins with a space and is none. */
const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/;
/** One parameter with what separates it from the next. */
const PARAMETER = /[ \t]*;[ \t]*([A-Za-z*]+)=(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+.^_`|~0-9A-Za-z-]+))/y;

function readDisposition(value: string): Head {
  if (!/^form-data(?=[ \t]*;)/i.test(value)) throw notAForm("A part of the form is not form-data");
  const found = new Map<string, string>();
  PARAMETER.lastIndex = "form-data".length;
  while (PARAMETER.lastIndex < value.length) {
    const parameter = PARAMETER.exec(value);
    const key = parameter?.[1]?.toLowerCase();
    if (parameter === null || key === undefined || found.has(key) || !PARAMETERS.has(key)) {
      throw notAForm("A part of the form is described oddly");
    }
    found.set(key, parameter[2] ?? parameter[3] ?? "");
  }
  const name = found.get("name");
  if (name === undefined || name === "") throw notAForm("A part of the form has no name");
  return { name, fileName: found.get("filename") ?? found.get("filename*") ?? null };
}

/** `filename*` must not be sent (RFC 7578 §4.2), and urllib3 sends it. The name of a file is never passed on. */
const PARAMETERS: ReadonlySet<string> = new Set(["name", "filename", "filename*"]);

function notAForm(message: string): PosternError {
  return new PosternError("body_not_form", { message });
}
