/** Bytes of text that make one token at the least, on average: a floor, so that an estimate never undercounts badly (reference: engine-apis §8). */
const BYTES_PER_TOKEN = 4;

/** Tokens that this many bytes of text or of a JSON body stand for, rounded up. Always to be flagged as an estimate. */
export function tokensFromBytes(bytes: number): number {
  return Math.ceil(Math.max(0, bytes) / BYTES_PER_TOKEN);
}
