/** A caller's credential as the gateway keeps it. Its secrets are nowhere: only their SHA-256. */
export interface KeyRecord {
  /** The 12 characters of public id inside the key. */
  id: string;
  name: string;
  /** SHA-256 of the whole key, 32 bytes. */
  hash: Uint8Array;
  /** That of the secret before the last rotation, which is good until `previousUntilMs`; null where there is none. */
  previousHash: Uint8Array | null;
  previousUntilMs: number | null;
  /** Its policy as `writePolicy` wrote it. Text, because most keys of a large store are never asked for; see `LiveKey`. */
  policy: string;
  createdAtMs: number;
  /** Set while it is switched off. */
  disabledAtMs: number | null;
  /** For good. */
  revokedAtMs: number | null;
}
