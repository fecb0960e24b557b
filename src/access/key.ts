/** A caller's credential as the gateway keeps it. The secret itself is nowhere: only its SHA-256. */
export interface KeyRecord {
  /** The 12 characters of public id inside the key. */
  id: string;
  name: string;
  /** SHA-256 of the whole key, 32 bytes. */
  hash: Uint8Array;
  endpointId: string;
  /** Exact names or globs (`*`) of public model names; null allows every model. An empty list allows none. */
  models: string[] | null;
  createdAtMs: number;
  expiresAtMs: number | null;
  revokedAtMs: number | null;
}
