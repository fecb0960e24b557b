/** A block of providers' addresses by the operating system. */
export interface SystemBlock {
  /** Why it cannot be done here, or null. */
  trouble(): Promise<string | null>;
  /**
   * Blocks where these URLs lead, for at most `lengthMs`: the kernel itself lifts it then, whatever has become of this process.
   *
   * @param isForced Also where others than the provider have these addresses.
   * @returns the addresses that are blocked. Rejects with `invalid_input` where that would hit more than the provider.
   */
  block(urls: readonly string[], lengthMs: number, isForced: boolean): Promise<string[]>;
  /** Idempotent. Resolves when nothing is blocked any more; rejects when that could not be brought about. */
  lift(): Promise<void>;
}
