/** Bytes of text that make one token at the least, on average: a floor, so that an estimate never undercounts badly (reference: engine-apis §8). */
const BYTES_PER_TOKEN = 4;

/** Compressed speech has about 8,000 bytes a second, and a second of it is ten tokens where it is counted in tokens. */
const AUDIO_BYTES_PER_TOKEN = 800;

/** Tokens that this many bytes of recorded speech stand for, rounded up. A rough guess, always to be flagged as an estimate. */
export function tokensFromAudio(bytes: number): number {
  return Math.ceil(Math.max(0, bytes) / AUDIO_BYTES_PER_TOKEN);
}

/** Tokens of speech of this length. */
export function tokensFromSeconds(seconds: number): number {
  return Math.ceil(Math.max(0, seconds) * 10);
}

/** Bytes of text that stand for as many tokens. */
export function bytesFromTokens(tokens: number): number {
  return tokens * BYTES_PER_TOKEN;
}

/** Tokens that this many bytes of text or of a JSON body stand for, rounded up. Always to be flagged as an estimate. */
export function tokensFromBytes(bytes: number): number {
  return Math.ceil(Math.max(0, bytes) / BYTES_PER_TOKEN);
}
