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

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

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
  let prefix = "";

  function randomByte(): number {
    if (used === POOL_BYTES) {
      fillRandom(pool);
      used = 0;
    }
    return pool[used++] as number;
  }

  function randomHex(): string {
    return HEX[randomByte()] as string;
  }

  function startMillisecond(ms: number): void {
    lastMs = ms;
    counter = ((randomByte() << 8) | randomByte()) & COUNTER_START_MASK;
    const hex = ms.toString(16).padStart(12, "0");
    prefix = `${hex.slice(0, 8)}-${hex.slice(8)}-7`;
  }

  return function uuidV7(): string {
    const ms = nowMs();
    if (ms > lastMs) startMillisecond(ms);
    else if (counter === COUNTER_MAX) startMillisecond(lastMs + 1);
    else counter += 1;
    const variant = HEX[(randomByte() & 0x3f) | 0x80];
    const order = `${(counter >> 8).toString(16)}${HEX[counter & 0xff]}`;
    return `${prefix}${order}-${variant}${randomHex()}-${randomHex()}${randomHex()}${randomHex()}${randomHex()}${randomHex()}${randomHex()}`;
  };
}
