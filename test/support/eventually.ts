const POLL_MS = 50;

/**
 * Asks again and again until the answer is not undefined. For what another process does in its own time and tells nobody.
 *
 * @param limitMs Default 60 s; then it rejects, with the last error if there was one.
 */
export async function eventually<T>(ask: () => Promise<T | undefined>, what: string, limitMs = 60_000): Promise<T> {
  const startedMs = performance.now();
  let last: unknown;
  while (performance.now() - startedMs < limitMs) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`waited ${limitMs} ms for ${what}`, { cause: last });
}
