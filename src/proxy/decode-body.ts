import { gunzip, zstdDecompress } from "node:zlib";
import { PosternError } from "../errors.ts";
import type { BodyMemory } from "./body-memory.ts";
import type { HeldBody } from "./read-body.ts";

/** Compressed bodies that are served: Codex sends zstd (openai/codex; reference: engine-apis §4.3). */
export type BodyCoding = "zstd" | "gzip";

/**
 * Decompresses a body under the same cap as a plain one. Memory for the largest is taken beforehand, so that many small bombs
 * cannot add up; what was not needed is given back.
 *
 * @param limitBytes Largest result.
 * @throws PosternError `body_too_large`, `body_encoding` (not of this coding), `overloaded`. The compressed body is released.
 */
export async function decodeBody(
  body: HeldBody,
  coding: BodyCoding,
  limitBytes: number,
  memory: BodyMemory,
): Promise<HeldBody> {
  if (!memory.reserve(limitBytes)) {
    body.release();
    throw new PosternError("overloaded", {
      message: "The server holds too many request bodies at the moment",
      retryAfterSeconds: 2,
    });
  }
  let heldBytes = limitBytes;
  try {
    const bytes = await decompress(body.bytes, coding, limitBytes);
    memory.release(limitBytes - bytes.length);
    heldBytes = bytes.length;
    const decoded: HeldBody = {
      bytes,
      release() {
        decoded.bytes = Buffer.alloc(0);
        memory.release(heldBytes);
        heldBytes = 0;
      },
    };
    return decoded;
  } catch (error) {
    memory.release(heldBytes);
    throw error;
  } finally {
    body.release();
  }
}

function decompress(bytes: Buffer, coding: BodyCoding, limitBytes: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  function done(error: Error | null, decoded: Buffer): void {
    if (error === null) resolve(decoded);
    else reject(refusal(error, coding, limitBytes));
  }
  if (coding === "zstd") zstdDecompress(bytes, { maxOutputLength: limitBytes }, done);
  else gunzip(bytes, { maxOutputLength: limitBytes }, done);
  return promise;
}

function refusal(error: NodeJS.ErrnoException, coding: BodyCoding, limitBytes: number): PosternError {
  if (error.code === "ERR_BUFFER_TOO_LARGE")
    return new PosternError("body_too_large", {
      message: `The request body is larger than ${limitBytes} bytes once it is decompressed`,
    });
  return new PosternError("body_encoding", { message: `The request body is not valid ${coding}` });
}
