import type { Logger } from "pino";
import type { Keyring } from "../access/keyring.ts";
import type { ResolvedConfig } from "../config/resolved.ts";
import { toPosternError } from "../errors.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import type { Closers } from "../lib/closers.ts";
import { type CaptureResult, Captures } from "../proxy/captures.ts";
import { CaptureFiles } from "../storage/capture-files.ts";

/** How long a capture may outlive its retention. */
const SWEEP_EVERY_MS = 60_000;

export interface CapturePlace {
  /** Null: the configuration does not allow any. */
  captures: Captures | null;
  files: CaptureFiles;
}

export interface CapturePlaceParts {
  config: ResolvedConfig;
  keyring: Keyring;
  clock: Clock;
  log: Logger;
  closers: Closers;
  onResult(result: CaptureResult): void;
}

/**
 * Opens the place of prompts and answers, deletes what is over and what belongs to a key that is gone, and goes on doing so,
 * also where nothing new may be captured. Rejects with `data_folder`.
 */
export async function openCaptures(parts: CapturePlaceParts): Promise<CapturePlace> {
  const { config, keyring, clock, log, closers } = parts;
  const { capture } = config.storage;
  const files = new CaptureFiles({
    folder: config.dataFolder,
    totalBytes: capture?.totalBytes ?? Number.POSITIVE_INFINITY,
  });
  function warn(error: unknown): void {
    log.warn({ error: toPosternError(error).message }, "captures not kept in order");
  }
  /** Asked when one is written: much may have happened since its request. */
  function isWanted(keyId: string): boolean {
    const key = keyring.find(keyId);
    return key !== undefined && key.record.revokedAtMs === null && key.policy.document.capture !== undefined;
  }
  function isGone(keyId: string): boolean {
    const key = keyring.find(keyId);
    return key === undefined || key.record.revokedAtMs !== null;
  }
  for (const keyId of files.keys().filter(isGone)) await files.forgetKey(keyId);
  await files.forgetExpired(clock.nowMs());

  let timer: Timer = clock.after(SWEEP_EVERY_MS, sweep);
  function sweep(): void {
    timer = clock.after(SWEEP_EVERY_MS, sweep);
    files.forgetExpired(clock.nowMs()).catch(warn);
  }
  closers.add(() => timer.cancel());

  if (capture === null) return { captures: null, files };
  let isFailing = false;
  const captures = new Captures({
    config: capture,
    write: (one) => files.write(one, () => isWanted(one.keyId)),
    onResult(result, error) {
      parts.onResult(result);
      if (result === "failed" && !isFailing) warn(error);
      isFailing = result === "failed";
    },
  });
  closers.add(() => captures.settled());
  return { captures, files };
}
