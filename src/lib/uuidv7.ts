import { randomFillSync } from "node:crypto";

/** What the generator needs from outside; tests pass their own. */
export interface UuidV7Options {
  /** Wall time in UTC milliseconds. Default `Date.now`. */
  nowMs?: () => number;
  /** Fills the array with random bytes. Default `crypto.randomFillSync`. */
  fillRandom?: (bytes: Uint8Array) => void;
}

/** Random bytes fetched at once: one call into the kernel's generator serves about 400 ids. */
const POOL_BYTES = 4096;
/** The counter sits in the 12 bits of `rand_a`. */
const COUNTER_MAX = 0xfff;
/** A new millisecond starts the counter in the lower half, so that at least 2,048 ids fit before it runs over. */
const COUNTER_START_MASK = 0x7ff;

const DIGITS = Buffer.from("0123456789abcdef");

/**
 * Makes a source of UUIDv7 strings (lower case, 36 characters) that sort in the order they were made.
 *
 * Within one millisecond a 12-bit counter orders them; when it runs over, or the clock goes back, the id's own time goes on
 * from the last one instead of repeating. 62 bits of each id are random. Costs well under a microsecond: it is on the request path.
 *
 * @see RFC 9562 §5.7 and §6.2 method 1
 */
export function createUuidV7(options: UuidV7Options = {}): () => string {
  const nowMs = options.nowMs ?? Date.now;
  const fillRandom = options.fillRandom ?? ((bytes: Uint8Array) => void randomFillSync(bytes));
  const pool = new Uint8Array(POOL_BYTES);
  let used = POOL_BYTES;
  let lastMs = -1;
  let counter = 0;
  // Written over for each id: put together from pieces, an id would be three times as much garbage.
  const text = Buffer.from("00000000-0000-7000-8000-000000000000");

  function randomByte(): number {
    if (used === POOL_BYTES) {
      fillRandom(pool);
      used = 0;
    }
    return pool[used++] as number;
  }

  function writeDigits(at: number, byte: number): void {
    text[at] = DIGITS[byte >> 4] as number;
    text[at + 1] = DIGITS[byte & 0xf] as number;
  }

  function startMillisecond(ms: number): void {
    lastMs = ms;
    counter = ((randomByte() << 8) | randomByte()) & COUNTER_START_MASK;
    const hex = ms.toString(16).padStart(12, "0");
    text.write(hex.slice(0, 8), 0);
    text.write(hex.slice(8), 9);
  }

  return function uuidV7(): string {
    const ms = nowMs();
    if (ms > lastMs) startMillisecond(ms);
    else if (counter === COUNTER_MAX) startMillisecond(lastMs + 1);
    else counter += 1;
    text[15] = DIGITS[counter >> 8] as number;
    writeDigits(16, counter & 0xff);
    writeDigits(19, (randomByte() & 0x3f) | 0x80);
    writeDigits(21, randomByte());
    for (let at = 24; at < text.length; at += 2) writeDigits(at, randomByte());
    return text.toString("latin1");
  };
}
