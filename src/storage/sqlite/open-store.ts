import { statSync } from "node:fs";
import { extname, join, resolve } from "node:path";
import { PosternError } from "../../errors.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import type { FileLock } from "../../lib/file-lock.ts";
import type { AuditDraft } from "../audit-chain.ts";
import { prepareFile, prepareFolder } from "../folder.ts";
import { lockFolder } from "../folder-lock.ts";
import type { Changes, Store } from "../store.ts";
import { writeWhole } from "./backup.ts";
import { changesOver } from "./changes.ts";
import type { CallName, StoreCalls } from "./protocol.ts";
import { toStoreError } from "./sqlite-error.ts";
import { WorkerClient } from "./worker-client.ts";

export interface SqliteStoreOptions {
  /** The data folder; made with mode 0700 if it is not there. */
  folder: string;
  clock?: Clock;
  /** How long a call waits while another program has the file locked. Default 5 s. */
  busyTimeoutMs?: number;
  /** Longest time of a call. Default 30 s. */
  callTimeoutMs?: number;
  /** Longest time of a report, a backup or an integrity check. Default 10 min. */
  reportTimeoutMs?: number;
  /** Files up to this size are checked for damage before the store opens, larger ones afterwards. Default 64 MiB. */
  checkBeforeOpenBytes?: number;
}

const FILE_NAME = "postern.db";
/** A reader's thread without work ends after this; it costs some 10 MB, and reports are rare. */
const READER_IDLE_MS = 30_000;
/** Requests deleted per transaction when pruning: a few milliseconds, between which other calls get their turn. */
const PRUNE_STEP_ROWS = 1_000;

/**
 * Opens the SQLite store of a data folder and takes the folder for this process until `close`.
 *
 * SQLite runs in worker threads: one writer, and a reader that is started for reports, backups and checks, so that neither the
 * main thread nor a writer ever waits for them. A damaged file, one of another program, one of a newer Postern, one that cannot
 * be written or that another process holds are refused in plain words, and nothing is changed.
 *
 * @throws PosternError `store_locked`, `store_readonly`, `store_corrupt`, `store_newer`, `store_full`, `store_failed`, `data_folder`
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const folder = resolve(options.folder);
  const path = join(folder, FILE_NAME);
  const lock = take(folder, path);
  const { clock = systemClock, busyTimeoutMs = 5_000, callTimeoutMs = 30_000, reportTimeoutMs = 600_000 } = options;
  const script = new URL(`./worker${extname(import.meta.url)}`, import.meta.url);
  const writer = new WorkerClient({
    script,
    data: { role: "writer", path, busyTimeoutMs },
    clock,
    callTimeoutMs,
    idleStopMs: null,
  });
  const reader = new WorkerClient({
    script,
    data: { role: "reader", path, busyTimeoutMs },
    clock,
    callTimeoutMs: reportTimeoutMs,
    idleStopMs: READER_IDLE_MS,
  });
  const store = new SqliteStore(path, writer, reader, lock);
  try {
    await writer.start();
    await store.checkForDamage(statSync(path).size <= (options.checkBeforeOpenBytes ?? 64 * 1024 * 1024));
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

function take(folder: string, path: string): FileLock {
  let lock: FileLock | undefined;
  try {
    prepareFolder(folder, FILE_NAME);
    lock = lockFolder(folder);
    prepareFile(path);
    return lock;
  } catch (error) {
    lock?.release();
    throw toStoreError(error, "open the store", path);
  }
}

class SqliteStore implements Store {
  readonly #path: string;
  readonly #writer: WorkerClient;
  readonly #reader: WorkerClient;
  readonly #lock: FileLock;
  /** What the last write that failed said; forgotten with the next one that works. */
  #trouble: PosternError | null = null;
  /** Found after opening, in a large file. */
  #damage: PosternError | null = null;

  constructor(path: string, writer: WorkerClient, reader: WorkerClient, lock: FileLock) {
    this.#path = path;
    this.#writer = writer;
    this.#reader = reader;
    this.#lock = lock;
    const changes = changesOver((name, args) => this.#write(name, args));
    this.keys = changes.keys;
    this.nodes = changes.nodes;
    this.places = changes.places;
    this.settings = changes.settings;
    this.tokens = changes.tokens;
    this.users = changes.users;
    this.sessions = changes.sessions;
    // A history may be long: it is read beside the writer.
    this.alerts = { ...changes.alerts, list: (query) => this.#reader.call("alerts.list", [query]) };
    this.drills = changes.drills;
  }

  readonly keys: Store["keys"];
  readonly nodes: Store["nodes"];
  readonly places: Store["places"];
  readonly settings: Store["settings"];
  readonly tokens: Store["tokens"];
  readonly users: Store["users"];
  readonly sessions: Store["sessions"];
  readonly alerts: Store["alerts"];
  readonly drills: Store["drills"];

  readonly usage: Store["usage"] = {
    ingest: (lines) => this.#write("usage.ingest", [lines], movable(lines)),
    report: (query) => this.#reader.call("usage.report", [query]),
    reportAtStart: (query) => this.#writer.call("usage.report", [query]),
    request: (id) => this.#reader.call("usage.request", [id]),
    requests: (query) => this.#reader.call("usage.requests", [query]),
    answered: (sinceMs, untilMs) => this.#reader.call("usage.answered", [sinceMs, untilMs]),
    perHourOfWeek: (sinceMs) => this.#reader.call("usage.perHourOfWeek", [sinceMs]),
    prune: (beforeMs) => this.#prune(beforeMs),
  };

  readonly audit: Store["audit"] = {
    append: (entry) => this.#write("audit.append", [entry]),
    prune: (beforeMs, entry) => this.#write("audit.prune", [beforeMs, entry]),
    list: (query) => this.#reader.call("audit.list", [query]),
    verify: (anchor) => this.#reader.call("audit.verify", [anchor]),
  };

  audited(entry: AuditDraft): Changes {
    return changesOver(
      <Name extends CallName>(name: Name, args: Parameters<StoreCalls[Name]>) =>
        // What `audited` answers is what the call that it makes answers.
        this.#write("audited", [entry, name, args]) as Promise<Awaited<ReturnType<StoreCalls[Name]>>>,
    );
  }

  async backup(path: string): Promise<void> {
    const target = resolve(path);
    try {
      await writeWhole(target, (emptyFile) => this.#reader.call("copyInto", [emptyFile]));
    } catch (error) {
      throw toStoreError(error, "write the backup", target);
    }
  }

  async health(): Promise<string | null> {
    if (this.#damage !== null) return inWords(this.#damage);
    try {
      // After a failed write only another write can tell whether the trouble is over.
      await this.#write(this.#trouble === null ? "nodes.list" : "probe", []);
      return null;
    } catch (error) {
      return inWords(toStoreError(error, "use the store", this.#path));
    }
  }

  async close(): Promise<void> {
    // The last connection that closes puts the write-ahead log away, and one that may only read cannot.
    await this.#reader.stop();
    await this.#writer.stop();
    this.#lock.release();
  }

  /** Looks for damage; when `isAwaited` it throws what it finds, otherwise `health` will say it. */
  async checkForDamage(isAwaited: boolean): Promise<void> {
    if (isAwaited) {
      const damage = await this.#writer.call("findDamage", []);
      if (damage !== null) throw damaged(this.#path, damage);
      return;
    }
    this.#reader.call("findDamage", []).then(
      (damage) => {
        if (damage !== null) this.#damage = damaged(this.#path, damage);
      },
      // Closed meanwhile, or a trouble that the next call will meet as well.
      () => undefined,
    );
  }

  async #write<Name extends CallName>(
    name: Name,
    args: Parameters<StoreCalls[Name]>,
    transfer: ArrayBuffer[] = [],
  ): Promise<Awaited<ReturnType<StoreCalls[Name]>>> {
    try {
      const value = await this.#writer.call(name, args, transfer);
      if (!READS.has(name)) this.#trouble = null;
      return value;
    } catch (error) {
      const trouble = toStoreError(error, "use the store", this.#path);
      if (trouble.code.startsWith("store_")) this.#trouble = trouble;
      throw trouble;
    }
  }

  async #prune(beforeMs: number): Promise<number> {
    let deleted = 0;
    for (;;) {
      const step = await this.#write("usage.pruneStep", [beforeMs, PRUNE_STEP_ROWS]);
      deleted += step;
      if (step < PRUNE_STEP_ROWS) return deleted;
    }
  }
}

/** Calls that succeed on a disk that takes no writes, and so prove nothing. */
const READS: ReadonlySet<CallName> = new Set<CallName>([
  "keys.page",
  "keys.find",
  "nodes.list",
  "nodes.connectors",
  "nodes.invitations",
  "places.endpoints",
  "places.rules",
  "settings.get",
  "tokens.list",
  "users.list",
  "sessions.list",
  "alerts.unresolved",
  "alerts.list",
  "alerts.silences",
  "drills.find",
  "drills.list",
  "drills.unfinished",
]);

/** A view on a whole buffer moves to the other thread; a part of one is copied, because moving would take its neighbours along. */
function movable(bytes: Uint8Array): ArrayBuffer[] {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength ? [buffer] : [];
}

function damaged(path: string, damage: string): PosternError {
  return new PosternError("store_corrupt", {
    message: `Cannot use the store at ${path}: it is damaged`,
    hint: `Move ${path} and the files beside it (-wal, -shm) away and restore a backup, or start with an empty one.`,
    detail: { path, damage },
  });
}

function inWords(error: PosternError): string {
  return error.hint === undefined ? error.message : `${error.message}. ${error.hint}`;
}
