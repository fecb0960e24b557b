import { stat } from "node:fs/promises";
import type { Logger } from "pino";
import { type ConfigSetting, changedSettings, setSetting, settingAt } from "../config/config-changes.ts";
import type { ResolvedConfig } from "../config/resolved.ts";
import { toPosternError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import type { AuditDraft } from "../storage/audit-chain.ts";

/** How often the file is looked at. */
const LOOK_EVERY_MS = 2_000;

/** Settings that a running gateway takes over. */
export interface ReloadableSection {
  /** As they stand in the file; one names everything below it too. */
  paths: readonly string[];
  /**
   * Called when one of them has changed and the gateway's configuration holds the new values. Left out where whoever uses them
   * reads them there each time. Rejects where they cannot be used: everything is put back then.
   */
  apply?(): unknown;
}

/** What became of the last look at the file, for status. */
export interface ReloadState {
  loadedAtMs: number;
  /** Why the file as it is now is not used; null: it is. */
  problem: string | null;
  /** Settings of the file that count only after a restart. */
  needsRestart: string[];
}

export interface ConfigReloadParts {
  /** That of the running gateway, changed in place. */
  live: ResolvedConfig;
  /** As it was read at the start. */
  started: ResolvedConfig;
  /** Reads everything again: file, environment, flags. Throws `config_invalid`. */
  load(): ResolvedConfig;
  sections: readonly ReloadableSection[];
  clock: Clock;
  log: Logger;
  /** Writes down that settings have changed. */
  audit(entry: AuditDraft): Promise<void>;
}

/**
 * Takes changes of `postern.yaml` over while the gateway runs. A file that cannot be used, for whatever reason, leaves everything as
 * it was and says why; what cannot change in a running gateway is named, and waits for the next start.
 */
export class ConfigReload {
  readonly #parts: ConfigReloadParts;
  /** What the gateway goes by. */
  #current: ResolvedConfig;
  #state: ReloadState;
  #last: Promise<unknown> = Promise.resolve();
  /** The file as it was when it was looked at last; empty before, because it may have changed since it was read. */
  #seen = "";

  constructor(parts: ConfigReloadParts) {
    this.#parts = parts;
    this.#current = parts.started;
    this.#state = { loadedAtMs: parts.clock.nowMs(), problem: null, needsRestart: [] };
  }

  get state(): ReloadState {
    return this.#state;
  }

  /** Looks at the file from now on. @returns Stops it. */
  watch(): () => void {
    const { started, clock } = this.#parts;
    const { file } = started;
    if (file === null) return () => {};
    let isStopped = false;
    let timer = clock.after(LOOK_EVERY_MS, look);
    function arm(): void {
      if (!isStopped) timer = clock.after(LOOK_EVERY_MS, look);
    }
    const lookAt = (): Promise<void> => this.#lookAt(file);
    function look(): void {
      void lookAt().finally(arm);
    }
    return () => {
      isStopped = true;
      timer.cancel();
    };
  }

  async #lookAt(file: string): Promise<void> {
    const now = await stat(file, { bigint: true }).then(
      ({ mtimeNs, size, ino }) => `${mtimeNs} ${size} ${ino}`,
      () => "not there",
    );
    if (now === this.#seen) return;
    this.#seen = now;
    await this.reload();
  }

  /** Reads the file again and takes over what it says. One at a time; never rejects. */
  reload(): Promise<ReloadState> {
    const mine = this.#last.then(() => this.#reload());
    this.#last = mine;
    return mine;
  }

  async #reload(): Promise<ReloadState> {
    const { load, started, sections, clock, log } = this.#parts;
    const before = this.#current;
    let next: ResolvedConfig;
    try {
      next = load();
    } catch (error) {
      return this.#refuse(error);
    }
    const changed = changedSettings(before, next);
    const changes = changed.filter(({ path }) => sections.some((section) => covers(section, path)));
    const applied: ReloadableSection[] = [];
    try {
      this.#adopt(changes, next);
      for (const section of sections.filter((one) => changes.some(({ path }) => covers(one, path)))) {
        applied.push(section);
        await section.apply?.();
      }
    } catch (error) {
      this.#adopt(changes, before);
      for (const section of applied) await this.#putBack(section);
      return this.#refuse(error);
    }
    this.#current = next;
    // Held against the start: what was changed back needs no restart any more.
    const needsRestart = changedSettings(started, next)
      .map(({ path }) => path)
      .filter((path) => !sections.some((section) => covers(section, path)));
    this.#state = { loadedAtMs: clock.nowMs(), problem: null, needsRestart };
    const paths = changes.map(({ path }) => path);
    if (changed.length > 0) {
      log.info({ changed: paths }, "configuration reloaded");
      await this.#writeDown(paths, needsRestart);
    }
    if (needsRestart.length > 0) log.warn({ settings: needsRestart }, "settings need a restart");
    return this.#state;
  }

  async #putBack({ apply, paths }: ReloadableSection): Promise<void> {
    try {
      await apply?.();
    } catch (error) {
      this.#parts.log.error({ error: toPosternError(error).message, settings: paths }, "old settings not put back");
    }
  }

  #adopt(settings: readonly ConfigSetting[], from: ResolvedConfig): void {
    for (const { keys } of settings) setSetting(this.#parts.live, keys, settingAt(from, keys));
  }

  #refuse(error: unknown): ReloadState {
    const { message } = toPosternError(error);
    this.#state = { ...this.#state, problem: message };
    this.#parts.log.error({ error: message }, "configuration not reloaded, the old one stays");
    return this.#state;
  }

  async #writeDown(changed: readonly string[], needsRestart: readonly string[]): Promise<void> {
    const { clock, log, started, audit } = this.#parts;
    const actor = { kind: "gateway", id: null, name: "gateway", address: null };
    const after = { changed, needsRestart };
    const subject = started.file ?? "configuration";
    try {
      await audit({ atMs: clock.nowMs(), actor, action: "config.reload", subject, before: null, after });
    } catch (error) {
      log.warn({ error: toPosternError(error).message }, "the change of the configuration is not in the audit trail");
    }
  }
}

function covers({ paths }: ReloadableSection, setting: string): boolean {
  return paths.some((path) => setting === path || setting.startsWith(`${path}.`));
}
