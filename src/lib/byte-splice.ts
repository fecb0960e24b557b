import type { Member } from "./json-scan.ts";

/** Replaces the bytes from `start` up to `end` by `text`. Equal offsets insert; an empty text deletes. */
export interface Edit {
  start: number;
  end: number;
  text: string;
}

/**
 * The bytes with all edits made, in one new buffer; bytes outside the edits are copied unchanged. Without edits the same buffer.
 *
 * @throws RangeError when edits overlap or leave the bytes. Edits need no order; two inserts at one place keep theirs.
 */
export function splice(bytes: Buffer, edits: readonly Edit[]): Buffer {
  if (edits.length === 0) return bytes;
  const ordered = edits.length === 1 ? edits : edits.toSorted((a, b) => a.start - b.start || a.end - b.end);
  let length = bytes.length;
  let from = 0;
  for (const { start, end, text } of ordered) {
    if (start < from || end < start || end > bytes.length) throw new RangeError("edits overlap or leave the bytes");
    length += Buffer.byteLength(text) - (end - start);
    from = end;
  }
  const result = Buffer.allocUnsafe(length);
  let at = 0;
  from = 0;
  for (const { start, end, text } of ordered) {
    at += bytes.copy(result, at, from, start);
    at += result.write(text, at);
    from = end;
  }
  bytes.copy(result, at, from);
  return result;
}

/**
 * The edits that take members out of their object, commas included. Other members keep their bytes.
 *
 * @param members All members of the object, in order.
 * @param isRemoved Which of them go.
 */
export function removalEdits(members: readonly Member[], isRemoved: (member: Member) => boolean): Edit[] {
  const edits: Edit[] = [];
  let lastKept = -1;
  // No iterators: this runs for every request, and mostly takes nothing out.
  for (let index = 0; index < members.length; index += 1) if (!isRemoved(members[index] as Member)) lastKept = index;
  for (let index = 0; index < lastKept; index += 1) {
    const member = members[index] as Member;
    const next = members[index + 1] as Member;
    // A removed member takes the comma behind it along; those behind the last kept one go together with the comma before.
    if (isRemoved(member)) edits.push({ start: member.nameStart, end: next.nameStart, text: "" });
  }
  const last = members.at(-1);
  if (last !== undefined && lastKept < members.length - 1) {
    const kept = members[lastKept];
    const first = members[0] ?? last;
    edits.push({ start: kept === undefined ? first.nameStart : kept.valueEnd, end: last.valueEnd, text: "" });
  }
  return edits;
}
