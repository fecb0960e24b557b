import { isUtf8 } from "node:buffer";
import { PosternError } from "../errors.ts";
import type { CapturedPart } from "../storage/store.ts";
import { actorOf } from "./caller.ts";
import type { AdminContext } from "./context.ts";
import type { CaptureView } from "./contract-captures.ts";
import type { CallParts } from "./create-context.ts";

/** Prompts and answers that were kept. Who reads one is written down first. */
export function createCaptureAdmin({ store, captures, clock, caller }: CallParts): Pick<AdminContext, "capture"> {
  return {
    async capture(id) {
      const found = await captures.read(id);
      const nowMs = clock.nowMs();
      if (found === null || found.expiresAtMs <= nowMs) {
        throw new PosternError("not_found", {
          message: `Nothing is kept of a request with the id "${id}"`,
          hint: "Only requests of keys with `capture` in their policy are, until their time is over; `postern keys show KEY` tells.",
        });
      }
      const { request, answer, ...about } = found;
      await store.audit.append({
        atMs: nowMs,
        actor: actorOf(caller),
        action: "captures.read",
        subject: `request ${id}`,
        before: null,
        after: { keyId: found.keyId, request: request !== null, answer: answer !== null },
      });
      return { ...about, request: view(request), answer: view(answer) };
    },
  };
}

function view(part: CapturedPart | null): CaptureView["request"] {
  if (part === null) return null;
  const { kept, bytes, isCut } = part;
  const encoding = isUtf8(whole(kept, isCut)) ? "utf8" : "base64";
  return { encoding, content: (encoding === "utf8" ? whole(kept, isCut) : kept).toString(encoding), bytes, isCut };
}

/** Without the beginning of a character that the bound has cut through. */
function whole(kept: Buffer, isCut: boolean): Buffer {
  if (!isCut) return kept;
  let end = kept.length;
  while (end > 0 && kept.length - end < 3 && ((kept[end - 1] ?? 0) & 0xc0) === 0x80) end -= 1;
  const lead = kept[end - 1] ?? 0;
  const needed = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
  return kept.length - end + 1 < needed ? kept.subarray(0, end - 1) : kept;
}
