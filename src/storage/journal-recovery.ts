import { tokensFromAudio, tokensFromBytes } from "../lib/token-estimate.ts";
import type { RequestClosed, RequestOpened } from "../usage/record.ts";
import { type JournalFile, readLines } from "./journal-files.ts";
import { decodeLines } from "./journal-line.ts";

/** Requests that were opened and never closed: the process died while they ran. */
export interface Interrupted {
  opened: RequestOpened[];
  /** The latest time in the journal: about when the process died. Zero for an empty journal. */
  lastSeenMs: number;
}

/** Bytes read at once; between two blocks the event loop turns. */
const BLOCK_BYTES = 1024 * 1024;

/** Reads the files that an earlier run left and finds what it left open. */
export async function findInterrupted(files: readonly JournalFile[]): Promise<Interrupted> {
  const open = new Map<string, RequestOpened>();
  // A carried-over open line may come after nothing else of its request, but never after its close: files go in order.
  let lastSeenMs = 0;
  for (const file of files) {
    for (let offset = 0; offset < file.bytes; ) {
      const block = await readLines(file, offset, BLOCK_BYTES, false);
      const { opened, settled } = decodeLines(block.lines);
      for (const record of opened) {
        open.set(record.id, record);
        lastSeenMs = Math.max(lastSeenMs, record.openedAtMs);
      }
      for (const { closed } of settled) {
        open.delete(closed.id);
        lastSeenMs = Math.max(lastSeenMs, closed.closedAtMs);
      }
      if (block.nextOffset === offset) break;
      offset = block.nextOffset;
    }
  }
  return { opened: [...open.values()], lastSeenMs };
}

/** The operation whose body is sound, not text. */
const RECORDINGS = "openai.transcriptions";

/** How such a request is settled: with an estimate of what went in, flagged, and nothing that came out. */
export function settleInterrupted(opened: RequestOpened, lastSeenMs: number): RequestClosed {
  const closedAtMs = Math.max(opened.openedAtMs, lastSeenMs);
  return {
    id: opened.id,
    closedAtMs,
    outcome: "interrupted",
    status: 0,
    errorCode: null,
    tokensIn: (opened.operation === RECORDINGS ? tokensFromAudio : tokensFromBytes)(opened.requestBytes),
    tokensInCached: 0,
    tokensOut: 0,
    tokensReasoning: null,
    isEstimated: true,
    timeToFirstTokenMs: null,
    durationMs: closedAtMs - opened.openedAtMs,
    costMicros: 0,
    contingency: opened.contingency,
    fallback: null,
    attempts: [],
  };
}
