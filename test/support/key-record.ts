import type { KeyRecord } from "../../src/access/key.ts";
import { type KeyPolicy, writePolicy } from "../../src/access/policy.ts";

/** A key's record for tests, with a policy in words. */
export function keyRecord(fields: Partial<KeyRecord> = {}, policy: Partial<KeyPolicy> = {}): KeyRecord {
  return {
    id: "aaaaaaaaaaaa",
    name: "app",
    hash: new Uint8Array(32).fill(7),
    previousHash: null,
    previousUntilMs: null,
    policy: writePolicy({ version: 1, ...policy }),
    createdAtMs: 0,
    disabledAtMs: null,
    revokedAtMs: null,
    ...fields,
  };
}
