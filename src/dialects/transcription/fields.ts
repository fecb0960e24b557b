import { isUtf8 } from "node:buffer";
import { PosternError } from "../../errors.ts";
import type { BuiltPart, FormPart } from "../../lib/multipart.ts";
import { MAX_MODEL_ID_LENGTH } from "../classify.ts";
import { DANGEROUS_FIELDS } from "../dangerous-fields.ts";
import { MAX_NAMED_FIELDS } from "../dialect.ts";
import type { FieldPolicy } from "../field-policy.ts";

/** What is known of one field of the form. */
interface FormField {
  /** Most bytes of its value. */
  maxBytes: number;
  /** How the value may look; any text where left out. */
  pattern?: RegExp;
  /** Whether it may be there more than once. */
  isList?: boolean;
  /** Engine kinds that know it. All where left out. */
  only?: readonly string[];
}

const BOOLEAN = /^(?:true|false)$/i;

/** POST /v1/audio/transcriptions: what OpenAI names, and vLLM's own way of asking for usage. Everything else is unknown. */
const FIELDS: ReadonlyMap<string, FormField> = new Map<string, FormField>([
  ["model", { maxBytes: MAX_MODEL_ID_LENGTH }],
  ["language", { maxBytes: 35, pattern: /^[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*$/ }],
  ["prompt", { maxBytes: 16 * 1024 }],
  ["response_format", { maxBytes: 32, pattern: /^(?:json|text|srt|verbose_json|vtt|diarized_json)$/ }],
  ["temperature", { maxBytes: 32, pattern: /^\d{1,3}(?:\.\d{1,20})?$/ }],
  ["timestamp_granularities[]", { maxBytes: 16, pattern: /^(?:word|segment)$/, isList: true }],
  ["stream", { maxBytes: 5, pattern: BOOLEAN }],
  ["stream_include_usage", { maxBytes: 5, pattern: BOOLEAN, only: ["vllm"] }],
]);

/** Longest value of a field that only the operator's own list lets through. */
const MAX_ALLOWED_BYTES = 4096;
/** Most values of a list. */
const MAX_LISTED = 4;

/** The form as policy lets it through. */
export interface AllowedForm {
  model: string;
  fields: readonly { name: string; value: string }[];
  file: FormPart;
  removed: readonly string[];
}

/**
 * Applies the table of fields to a form.
 *
 * @throws PosternError `model_missing`, `body_invalid` and `field_refused` with the field's name, `body_ambiguous` for a name that is
 *   there twice: which of two models counts is what servers disagree on.
 */
export function readFields(parts: readonly FormPart[], policy: FieldPolicy): AllowedForm {
  const removed: string[] = [];
  const fields: { name: string; value: string }[] = [];
  const times = new Map<string, number>();
  let file: FormPart | null = null;
  for (const part of parts) {
    const field = FIELDS.get(part.name);
    const folded = part.name.toLowerCase();
    const count = (times.get(folded) ?? 0) + 1;
    times.set(folded, count);
    if (count > (field?.isList === true ? MAX_LISTED : 1)) throw twice(part.name);
    if (part.name === "file") {
      if (part.fileName === null || part.value.length === 0)
        throw invalid("file", '"file" must be a file with content');
      file = part;
    } else if (field !== undefined) {
      fields.push({ name: part.name, value: readText(part, field) });
    } else if (isAllowed(part.name, policy)) {
      fields.push({ name: part.name, value: readText(part, { maxBytes: MAX_ALLOWED_BYTES }) });
    } else {
      const name = safeName(part.name);
      if (removed.length < MAX_NAMED_FIELDS && !removed.includes(name)) removed.push(name);
    }
  }
  const model = fields.find(({ name }) => name === "model")?.value ?? "";
  if (model === "") throw new PosternError("model_missing", { param: "model" });
  if (file === null) throw invalid("file", 'The form must have a "file"');
  return { model, fields, file, removed };
}

/** The parts for a target, in our own words: names of the table, a name for the file that says no more than its format. */
export function writeFields(form: AllowedForm, model: string, engineKind: string | undefined): BuiltPart[] {
  const known = form.fields.filter(({ name }) => {
    const only = FIELDS.get(name)?.only;
    return only === undefined || engineKind === undefined || only.includes(engineKind);
  });
  const parts: BuiltPart[] = known.map(({ name, value }) => ({
    name,
    file: null,
    value: Buffer.from(name === "model" ? model : value),
  }));
  return [...parts, { name: "file", file: describeFile(form.file.fileName ?? ""), value: form.file.value }];
}

/** Formats that engines tell by the file's name, and their types. */
const FORMATS: ReadonlyMap<string, string> = new Map([
  ["wav", "audio/wav"],
  ["mp3", "audio/mpeg"],
  ["mpga", "audio/mpeg"],
  ["mpeg", "audio/mpeg"],
  ["flac", "audio/flac"],
  ["ogg", "audio/ogg"],
  ["oga", "audio/ogg"],
  ["opus", "audio/ogg"],
  ["m4a", "audio/mp4"],
  ["mp4", "video/mp4"],
  ["webm", "audio/webm"],
  ["aac", "audio/aac"],
]);

function describeFile(fileName: string): { name: string; type: string } {
  const ending = /\.([A-Za-z0-9]{1,8})$/.exec(fileName)?.[1]?.toLowerCase() ?? "";
  const type = FORMATS.get(ending);
  return type === undefined ? { name: "audio", type: "application/octet-stream" } : { name: `audio.${ending}`, type };
}

function readText({ name, fileName, value }: FormPart, { maxBytes, pattern }: FormField): string {
  if (fileName !== null) throw invalid(name, `"${name}" must be a field, not a file`);
  if (value.length > maxBytes) throw invalid(name, `"${name}" must have at most ${maxBytes} bytes`);
  if (!isUtf8(value)) throw invalid(name, `"${name}" must be text in UTF-8`);
  const text = value.toString("utf8");
  if (pattern !== undefined && !pattern.test(text)) throw invalid(name, `"${name}" has a value that is not known`);
  return pattern === BOOLEAN ? text.toLowerCase() : text;
}

function isAllowed(name: string, policy: FieldPolicy): boolean {
  if (policy.allow.includes(name) && PLAIN_NAME.test(name)) return true;
  const reason = DANGEROUS_FIELDS.get(name) ?? (policy.unknown === "refuse" ? "is not known here" : undefined);
  if (reason === undefined) return false;
  const safe = safeName(name);
  throw new PosternError("field_refused", {
    message: `The field "${safe}" is not accepted: it ${reason}`,
    param: safe,
  });
}

const PLAIN_NAME = /^[A-Za-z0-9_.-]{1,64}(?:\[\])?$/;

function safeName(name: string): string {
  return PLAIN_NAME.test(name) ? name : "?";
}

function twice(name: string): PosternError {
  const safe = safeName(name);
  return new PosternError("body_ambiguous", { message: `The form names "${safe}" more than once`, param: safe });
}

function invalid(param: string, message: string): PosternError {
  return new PosternError("body_invalid", { message, param });
}
