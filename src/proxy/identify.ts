import type { AddressRule } from "../access/address-rule.ts";
import type { AddressSource } from "../access/ambient.ts";
import { readCredential } from "../access/credentials.ts";
import type { FailureLimiter } from "../access/failure-limiter.ts";
import type { Moment } from "../access/key-limits.ts";
import type { Keyring } from "../access/keyring.ts";
import type { LiveKey } from "../access/live-key.ts";
import type { Places } from "../access/places.ts";
import { PosternError } from "../errors.ts";

/** Where a request comes from, as far as we know. */
export interface Origin {
  /** Canonical; empty where the connection is gone already. */
  address: string;
  /** How the address was found; only the caller's own may stand for a key. */
  source: AddressSource;
}

export interface IdentifyDeps {
  keyring: Keyring;
  places: Places;
  failures: FailureLimiter;
}

/** Who is asking. */
export interface Identity {
  key: LiveKey;
  /** SHA-256 of the secret that the caller showed; null where it showed none. */
  secretHash: Uint8Array | null;
  /** The rule that put the address in the place of a key; null where the caller showed one. */
  ambient: AddressRule | null;
}

/**
 * Step 3: who is asking. No database, and the same answer whatever was wrong; the reason is for the log only.
 *
 * @param origin Where it comes from; failures are counted by address.
 * @param arrival When it came: what a key's expiry and the count of failures are held against.
 * @throws PosternError `unauthorized`, `too_many_failures`, `bad_request` (two `Authorization` headers).
 */
export function identify(
  rawHeaders: readonly string[],
  origin: Origin,
  endpoint: string,
  arrival: Moment,
  { keyring, places, failures }: IdentifyDeps,
): Identity {
  const { monotonicMs, nowMs } = arrival;
  const credential = readCredential(rawHeaders);
  const { key, hash, failure } = keyring.identify(credential, nowMs);
  if (key !== null) return { key, secretHash: hash, ambient: null };
  const stand =
    credential === null ? places.ambient.identify(origin.address, origin.source, endpoint, rawHeaders, nowMs) : null;
  if (stand?.key) return { key: stand.key, secretHash: null, ambient: stand.rule };
  const retryAfterSeconds = failures.recordFailure(origin.address, monotonicMs);
  if (retryAfterSeconds !== null) throw new PosternError("too_many_failures", { retryAfterSeconds });
  throw new PosternError("unauthorized", {
    hint: "Send a key in `Authorization: Bearer pst_…`; `postern keys create` makes one.",
    detail: { reason: failure, ...(stand === null ? {} : { ambient: stand.rule.name, ambientReason: stand.failure }) },
  });
}
