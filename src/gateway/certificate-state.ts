/** How a certificate is, for `postern status` and the log. */
export interface CertificateState {
  source: "files" | "acme";
  /** Names that it is for. */
  names: string[];
  /** Null: there is none yet. */
  notAfterMs: number | null;
  /** Why the last attempt to get a newer one failed, in words; null when it did not. The old one stays in use. */
  problem: string | null;
  /** When a newer one is ordered; null while one is, and where somebody else renews the files. */
  nextTryAtMs: number | null;
}
