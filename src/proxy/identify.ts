import { readCredential } from "../access/credentials.ts";
import type { FailureLimiter } from "../access/failure-limiter.ts";
import type { KeyRecord } from "../access/key.ts";
import type { Keyring } from "../access/keyring.ts";
import { PosternError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";

/**
 * Step 3: who is asking. No database, and the same answer whatever was wrong; the reason is for the log only.
 *
 * @param address The caller's address, under which failures are counted.
 * @throws PosternError `unauthorized`, `too_many_failures`, `bad_request` (two `Authorization` headers).
 */
export function identify(
  rawHeaders: readonly string[],
  address: string,
  keyring: Keyring,
  failures: FailureLimiter,
  clock: Clock,
): KeyRecord {
  const { key, failure } = keyring.identify(readCredential(rawHeaders), clock.nowMs());
  if (key !== null) return key;
  const retryAfterSeconds = failures.recordFailure(address, clock.monotonicMs());
  if (retryAfterSeconds !== null) throw new PosternError("too_many_failures", { retryAfterSeconds });
  throw new PosternError("unauthorized", {
    hint: "Send a key in `Authorization: Bearer pst_…`; `postern keys create` makes one.",
    detail: { reason: failure },
  });
}
