import { setFlagsFromString } from "node:v8";

/**
 * Has V8 go over its old generation only when it, with the memory outside it that buffers hold, has grown by this part of what was
 * left the last time; by itself it does so after some 8 MB, which is what a few long prompts are, or a hundred reads of a TLS
 * connection. Counts from the next collection on. Decision: docs/decisions/2026-11-30-a-small-young-generation.md.
 *
 * @param percent 100: the heap may double before it is gone over.
 */
export function growHeapBy(percent: number): void {
  setFlagsFromString(`--heap-growing-percent=${percent}`);
}
