import { PosternError } from "../errors.ts";
import type { HttpRequest } from "../http1/request.ts";
import { INLINE_BYTES, type Turns } from "../lib/turns.ts";
import type { BodyMemory } from "./body-memory.ts";
import type { Sweeper, Watched } from "./sweeper.ts";

/** A body and the memory that it holds. Whoever gets one calls `release` once it needs the bytes no more. */
export interface HeldBody {
  bytes: Buffer;
  /** Gives the memory back and forgets the bytes. Idempotent. */
  release(): void;
}

/** How fast a body must come. */
export interface BodyPace {
  sweeper: Sweeper;
  /** Least rate, after `BODY_GRACE_MS`. */
  bytesPerSecond: number;
  /** Longest time from its first byte to its last. */
  limitMs: number;
}

/** How long a body may be slower than the least rate: a connection that has just begun, a short pause of the network. */
const BODY_GRACE_MS = 10_000;

/** Chunks from this size on are given back; smaller ones may share their memory, and are not worth it. */
const GIVEN_BACK_BYTES = 16 * 1024;

const NO_BYTES = Buffer.alloc(0);

/**
 * Collects a request body under a cap.
 *
 * @param limitBytes Largest body; a larger declared length is refused before a byte is read.
 * @param declaredBytes `Content-Length`, or null when the body is chunked.
 * @throws PosternError `body_too_large`, `overloaded` (the process holds too many bodies), `request_timeout` (it comes too
 *   slowly), `bad_request` (the caller left or its framing broke). Nothing stays reserved then.
 */
export function readBody(
  request: HttpRequest,
  declaredBytes: number | null,
  limitBytes: number,
  memory: BodyMemory,
  turns: Turns,
  pace: BodyPace,
): Promise<HeldBody> {
  return new Promise((resolve, reject) => {
    let heldBytes = 0;
    let receivedBytes = 0;
    // A known length is filled in as it comes; of a chunked body the pieces wait for its end.
    let whole: Buffer | null = null;
    const chunks: Buffer[] = [];
    let startedMs: number | null = null;
    const watch: Watched = { place: -1, check };

    function check(nowMs: number): void {
      startedMs ??= nowMs;
      const elapsedMs = nowMs - startedMs;
      const dueBytes = ((elapsedMs - BODY_GRACE_MS) / 1000) * pace.bytesPerSecond;
      if (elapsedMs > pace.limitMs || receivedBytes < dueBytes) fail(tooSlow());
    }
    function hold(bytes: number): boolean {
      if (bytes <= heldBytes) return true;
      if (!memory.reserve(bytes - heldBytes)) return false;
      heldBytes = bytes;
      return true;
    }
    function release(): void {
      memory.release(heldBytes);
      heldBytes = 0;
    }
    function fail(error: PosternError): void {
      pace.sweeper.unwatch(watch);
      request.drop();
      release();
      reject(error);
    }
    function onData(chunk: Buffer): void {
      receivedBytes += chunk.length;
      if (receivedBytes > limitBytes) fail(tooLarge(limitBytes));
      else if (!hold(receivedBytes)) fail(outOfMemory());
      else if (declaredBytes === null || chunk.length === declaredBytes) chunks.push(chunk);
      else {
        whole ??= Buffer.allocUnsafeSlow(declaredBytes);
        chunk.copy(whole, receivedBytes - chunk.length);
        giveBack(chunk);
      }
    }
    function onEnd(): void {
      pace.sweeper.unwatch(watch);
      // Putting a large body together is a copy of all of it.
      if (whole === null && receivedBytes > INLINE_BYTES) turns.take(join);
      else join();
    }
    function join(): void {
      const only = whole ?? (chunks.length === 1 ? chunks[0] : undefined);
      const held: HeldBody = {
        bytes: only ?? Buffer.concat(chunks, receivedBytes),
        release() {
          held.bytes = NO_BYTES;
          release();
        },
      };
      resolve(held);
    }
    function onClose(): void {
      fail(new PosternError("bad_request", { message: "Cannot read the request: the body did not arrive whole" }));
    }

    if ((declaredBytes ?? 0) > limitBytes) return fail(tooLarge(limitBytes));
    if (!hold(declaredBytes ?? 0)) return fail(outOfMemory());
    pace.sweeper.watch(watch);
    request.read({ onData, onEnd, onClose });
  });
}

/**
 * Gives the memory of a chunk back at once. Nobody else has it: it was made for this part of the body. Left to the collector, the
 * chunks of a few large bodies are enough to have it go over the whole heap.
 */
function giveBack({ buffer, length }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === length && length >= GIVEN_BACK_BYTES) buffer.transfer(0);
}

function tooLarge(limitBytes: number): PosternError {
  return new PosternError("body_too_large", { message: `The request body is larger than ${limitBytes} bytes` });
}

function tooSlow(): PosternError {
  return new PosternError("request_timeout", { message: "The request body arrives too slowly" });
}

function outOfMemory(): PosternError {
  return new PosternError("overloaded", {
    message: "The server holds too many request bodies at the moment",
    retryAfterSeconds: 2,
  });
}
