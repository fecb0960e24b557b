import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PosternError } from "../errors.ts";
import { ManualClock } from "../lib/clock.ts";
import { requestOpened } from "../usage/__fixtures__/request-record.ts";
import type { OpenRecord, RequestClosed, RequestOpened } from "../usage/record.ts";
import { type Journal, type JournalOptions, openJournal } from "./journal.ts";
import { type JournalDisk, systemDisk } from "./journal-files.ts";
import { decodeLines, encodeOpened, openedLine } from "./journal-line.ts";
import type { IngestResult } from "./store.ts";

/** Keeps records by id as every store does; unlike a database it forgets with the test and takes no time. */
class FakeUsage {
  readonly records = new Map<string, RequestClosed>();
  refusal: Error | null = null;
  largestBlock = 0;

  async ingest(lines: Uint8Array): Promise<IngestResult> {
    if (this.refusal !== null) throw this.refusal;
    this.largestBlock = Math.max(this.largestBlock, lines.byteLength);
    const { settled, unreadable } = decodeLines(lines, false);
    const known = settled.filter(({ closed }) => this.records.has(closed.id)).length;
    for (const { closed } of settled) if (!this.records.has(closed.id)) this.records.set(closed.id, closed);
    return { taken: settled.length - known, known, unreadable };
  }
}

/** A disk with room for so many more bytes. Unlike a real one it gives back the room only when told. */
class SmallDisk implements JournalDisk {
  roomBytes = Number.POSITIVE_INFINITY;

  create(path: string): number {
    return systemDisk.create(path);
  }

  append(fd: number, bytes: Uint8Array, length: number): number {
    if (this.roomBytes <= 0)
      throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    const taken = Math.min(this.roomBytes, length);
    this.roomBytes -= taken;
    return writeSync(fd, bytes, 0, taken);
  }
}

const NOW_MS = 1_700_000_000_000;

let folder: string;
let clock: ManualClock;
let usage: FakeUsage;
let journal: Journal | null;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-journal-"));
  clock = new ManualClock(NOW_MS);
  usage = new FakeUsage();
  journal = null;
});

afterEach(async () => {
  await journal?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function start(options: Partial<JournalOptions> = {}): Promise<Journal> {
  journal = await openJournal({ folder, usage, clock, ...options });
  return journal;
}

/** Records of a test that are open, by id. */
const openRecords = new Map<string, OpenRecord>();

function open(journal: Journal, record: RequestOpened, then?: () => void): void {
  openRecords.set(record.id, journal.open(record, then));
}

function close(_journal: Journal, record: RequestClosed, then?: () => void): void {
  openRecords.get(record.id)?.close(record, then);
}

/** As SIGKILL leaves it: nothing more is written, nothing is closed in order. */
function abandon(): void {
  journal = null;
}

function files(): string[] {
  return readdirSync(join(folder, "journal")).sort();
}

function text(): string {
  return files()
    .map((name) => readFileSync(join(folder, "journal", name), "utf8"))
    .join("");
}

const opened = (id: string, fields: Partial<RequestOpened> = {}): RequestOpened =>
  requestOpened(id, { openedAtMs: NOW_MS, requestBytes: 401, ...fields });

function closed(id: string, fields: Partial<RequestClosed> = {}): RequestClosed {
  return {
    id,
    closedAtMs: NOW_MS + 1_000,
    outcome: "ok",
    status: 200,
    errorCode: null,
    tokensIn: 10,
    tokensInCached: 0,
    tokensOut: 20,
    tokensReasoning: 8,
    isEstimated: false,
    timeToFirstTokenMs: 100,
    durationMs: 1_000,
    costMicros: 0,
    contingency: null,
    fallback: null,
    attempts: [],
    ...fields,
  };
}

describe("journal", () => {
  it("has a record on the disk when open and close return, and in the store after a drain", async () => {
    const one = await start();
    open(one, opened("a"));
    expect(text()).toContain('O["a"');
    close(one, closed("a"));
    expect(text()).toContain('C[["a"');
    await one.drain();
    expect(usage.records.get("a")).toEqual(closed("a"));
    expect(one.health()).toEqual({ state: "ok", reason: null, waiting: 0, lost: 0, behindBytes: 0, unreadable: 0 });
  });

  it("makes a folder of mode 0700 and files of mode 0600", async () => {
    open(await start(), opened("a"));
    expect(statSync(join(folder, "journal")).mode & 0o777).toBe(0o700);
    expect(statSync(join(folder, "journal", files()[0] as string)).mode & 0o777).toBe(0o600);
  });

  it("drains by itself after the interval, and rests when there is nothing to do", async () => {
    const taken = Promise.withResolvers<void>();
    const one = await start({
      usage: {
        ingest: async (lines) => {
          const result = await usage.ingest(lines);
          taken.resolve();
          return result;
        },
      },
    });
    expect(clock.pendingTimers).toBe(0);
    open(one, opened("a"));
    close(one, closed("a"));
    clock.advance(1_000);
    await taken.promise;
    expect(usage.records.size).toBe(1);
    await one.drain();
    // Only the age of the file is watched now.
    expect(clock.pendingTimers).toBe(1);
  });

  it("leaves what comes while it drains to the next interval", async () => {
    let taken = Promise.withResolvers<void>();
    let blocks = 0;
    const one = await start({
      usage: {
        ingest: async (lines) => {
          blocks += 1;
          // Under load there is always one more when a block has been taken in.
          if (blocks < 10) {
            open(one, opened(`during ${blocks}`));
            close(one, closed(`during ${blocks}`));
          }
          const result = await usage.ingest(lines);
          taken.resolve();
          return result;
        },
      },
    });
    open(one, opened("a"));
    close(one, closed("a"));
    await one.drain();
    expect([...usage.records.keys()]).toEqual(["a"]);
    taken = Promise.withResolvers<void>();
    clock.advance(1_000);
    await taken.promise;
    expect([...usage.records.keys()]).toEqual(["a", "during 1"]);
  });

  it("keeps no record longer than ten minutes, however quiet it is, but what is still open", async () => {
    const one = await start();
    open(one, opened("a"));
    open(one, opened("b"));
    close(one, closed("a"));
    await one.drain();
    clock.advance(10 * 60_000);
    await one.drain();
    expect(text()).toBe(openedLine(encodeOpened(opened("b"))));
    close(one, closed("b"));
    await one.drain();
    clock.advance(10 * 60_000);
    await one.drain();
    expect(files()).toEqual([]);
    clock.advance(1_000);
    expect(clock.pendingTimers).toBe(0);
    open(one, opened("c"));
    expect(text()).toContain('O["c"');
  });

  it("ignores a second close and a close of nothing", async () => {
    const one = await start();
    open(one, opened("a"));
    close(one, closed("a"));
    close(one, closed("a", { tokensOut: 99 }));
    close(one, closed("unknown"));
    await one.drain();
    expect([...usage.records.values()]).toEqual([closed("a")]);
  });

  it("leaves nothing behind after an orderly stop with nothing open", async () => {
    const one = await start();
    open(one, opened("a"));
    close(one, closed("a"));
    await one.stop();
    expect(files()).toEqual([]);
    expect(usage.records.size).toBe(1);
  });

  it("stays within its block size however large the backlog", async () => {
    usage.refusal = new PosternError("store_locked");
    const one = await start({ blockBytes: 4_096, rotateBytes: 20_000 });
    for (let index = 0; index < 500; index += 1) {
      open(one, opened(`r${index}`));
      close(one, closed(`r${index}`));
    }
    usage.refusal = null;
    await one.drain();
    expect(usage.records.size).toBe(500);
    expect(usage.largestBlock).toBeLessThanOrEqual(4_096);
    expect(files()).toHaveLength(1);
  });
});

describe("after a kill the journal", () => {
  it("settles what was open as interrupted, with a flagged estimate, at the time it was last alive", async () => {
    const before = await start();
    open(before, opened("a"));
    open(before, opened("b", { openedAtMs: NOW_MS + 4_000 }));
    open(before, opened("c"));
    close(before, closed("c"));
    abandon();
    await (await start()).drain();
    expect(usage.records.get("c")?.outcome).toBe("ok");
    expect(usage.records.get("a")).toEqual({
      id: "a",
      closedAtMs: NOW_MS + 4_000,
      outcome: "interrupted",
      status: 0,
      errorCode: null,
      tokensIn: 101,
      tokensInCached: 0,
      tokensOut: 0,
      tokensReasoning: null,
      isEstimated: true,
      timeToFirstTokenMs: null,
      durationMs: 4_000,
      costMicros: 0,
      contingency: null,
      fallback: null,
      attempts: [],
    });
    expect(usage.records.get("b")).toMatchObject({ outcome: "interrupted", durationMs: 0 });
  });

  it("says the same however often it is killed while it recovers", async () => {
    const before = await start();
    open(before, opened("a"));
    open(before, opened("b"));
    close(before, closed("b"));
    abandon();
    for (let restart = 0; restart < 5; restart += 1) {
      await start();
      abandon();
    }
    const seen: IngestResult[] = [];
    const counting = {
      ingest: async (lines: Uint8Array) => seen[seen.push(await usage.ingest(lines)) - 1] as IngestResult,
    };
    await (await start({ usage: counting })).drain();
    expect(usage.records.size).toBe(2);
    expect(usage.records.get("b")).toEqual(closed("b"));
    expect(seen.reduce((sum, result) => sum + result.taken, 0)).toBe(2);
    expect(files()).toHaveLength(1);
  });

  it("tolerates a torn last line and skips and counts garbage in the middle", async () => {
    const before = await start();
    for (const id of ["a", "b"]) {
      open(before, opened(id));
      close(before, closed(id));
    }
    abandon();
    const path = join(folder, "journal", files()[0] as string);
    const whole = readFileSync(path, "utf8").split("\n");
    writeFileSync(path, [...whole.slice(0, 2), "\u0000\u0000garbage", '{"half', ...whole.slice(2)].join("\n"));
    appendFileSync(path, 'C[["torn","endp');
    const after = await start();
    await after.drain();
    expect([...usage.records.keys()]).toEqual(["a", "b"]);
    expect(after.health().unreadable).toBe(3);
    expect(after.health().state).toBe("ok");
  });

  it("gets past a file that is nothing but noise without a line feed", async () => {
    await start();
    abandon();
    writeFileSync(join(folder, "journal", files()[0] as string), Buffer.alloc(3 * 1024 * 1024, 0x41));
    const after = await start();
    open(after, opened("a"));
    close(after, closed("a"));
    await after.drain();
    expect([...usage.records.keys()]).toEqual(["a"]);
    expect(files()).toHaveLength(1);
  });
});

describe("rotation", () => {
  it("deletes a file only when the store has all of it, and carries open requests over", async () => {
    const one = await start({ rotateBytes: 1_000 });
    open(one, opened("long"));
    for (let index = 0; index < 50; index += 1) {
      open(one, opened(`r${index}`));
      close(one, closed(`r${index}`));
    }
    expect(files().length).toBeGreaterThan(10);
    usage.refusal = new PosternError("store_locked");
    await expect(one.drain()).rejects.toMatchObject({ code: "store_locked" });
    expect(files().length).toBeGreaterThan(10);
    usage.refusal = null;
    await one.drain();
    expect(files().length).toBeLessThanOrEqual(2);
    expect(text()).toContain('O["long"');
    abandon();
    await (await start()).drain();
    expect(usage.records.get("long")?.outcome).toBe("interrupted");
    expect(usage.records.size).toBe(51);
  });

  it("keeps the open requests of an orderly stop for the next start", async () => {
    const one = await start();
    open(one, opened("a"));
    await one.stop();
    await (await start()).drain();
    expect(usage.records.get("a")?.outcome).toBe("interrupted");
  });
});

describe("a store that does not answer", () => {
  it("lets serving go on: the journal grows, health says so, and it catches up by itself", async () => {
    usage.refusal = new PosternError("store_locked");
    const one = await start();
    for (let index = 0; index < 10; index += 1) {
      open(one, opened(`r${index}`));
      close(one, closed(`r${index}`));
    }
    await expect(one.drain()).rejects.toMatchObject({ code: "store_locked" });
    expect(one.health()).toMatchObject({ state: "spooling", waiting: 0, lost: 0 });
    expect(one.health().reason).toContain("The store is in use by another process");
    expect(one.health().behindBytes).toBeGreaterThan(1_000);
    usage.refusal = null;
    const ingested = Promise.withResolvers<void>();
    const ingest = usage.ingest.bind(usage);
    usage.ingest = async (lines) => {
      const result = await ingest(lines);
      ingested.resolve();
      return result;
    };
    clock.advance(30_000);
    await ingested.promise;
    await one.drain();
    expect(usage.records.size).toBe(10);
    expect(one.health()).toMatchObject({ state: "ok", reason: null });
  });

  it("fills the journal up to its bound, then memory up to its bound, then counts what is lost", async () => {
    usage.refusal = new PosternError("store_failed");
    const one = await start({ maxBytes: 10_000, rotateBytes: 2_500, spoolBytes: 5_000 });
    for (let index = 0; index < 200; index += 1) {
      open(one, opened(`r${index}`));
      close(one, closed(`r${index}`));
    }
    await expect(one.drain()).rejects.toMatchObject({ code: "store_failed" });
    const { state, waiting, lost, behindBytes } = one.health();
    expect(state).toBe("failing");
    expect(behindBytes).toBeLessThan(10_500);
    expect(waiting).toBeGreaterThan(5);
    expect(lost).toBeGreaterThan(100);
    usage.refusal = null;
    await one.drain();
    await one.drain();
    expect(usage.records.size + lost).toBe(200);
    open(one, opened("next"));
    close(one, closed("next"));
    await one.drain();
    expect(usage.records.has("next")).toBe(true);
    expect(one.health()).toMatchObject({ state: "ok", waiting: 0, lost });
  });
});

it("a journal folder that somebody deletes costs what was in it, is counted, and the next record is safe again", async () => {
  const one = await start();
  open(one, opened("gone"));
  close(one, closed("gone"));
  rmSync(join(folder, "journal"), { recursive: true });
  await one.drain();
  expect(one.health().unreadable).toBe(1);
  open(one, opened("a"));
  close(one, closed("a"));
  await one.drain();
  expect([...usage.records.keys()]).toEqual(["a"]);
  expect(one.health()).toMatchObject({ state: "ok", behindBytes: 0 });
});

describe("what one turn of the event loop leaves", () => {
  /** Counts system calls on a real disk. */
  class CountingDisk implements JournalDisk {
    writes = 0;
    create(path: string): number {
      return systemDisk.create(path);
    }
    append(fd: number, bytes: Uint8Array, length: number): number {
      this.writes += 1;
      return systemDisk.append(fd, bytes, length);
    }
  }

  it("is one write, and every callback comes after it", async () => {
    const disk = new CountingDisk();
    const one = await start({ disk });
    const seen: number[] = [];
    for (const id of ["a", "b", "c"]) open(one, opened(id), () => seen.push(disk.writes));
    close(one, closed("a"), () => seen.push(disk.writes));
    expect(disk.writes).toBe(0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(seen).toEqual([1, 1, 1, 1]);
    await one.drain();
    expect([...usage.records.keys()]).toEqual(["a"]);
  });

  it("is written at once when somebody needs it at once, in order", async () => {
    const disk = new CountingDisk();
    const one = await start({ disk });
    let isWritten = false;
    open(one, opened("a"), () => {
      isWritten = true;
    });
    close(one, closed("a"));
    expect(isWritten).toBe(true);
    expect(disk.writes).toBe(1);
  });

  it("calls back although the disk is full, and keeps what is closed", async () => {
    const disk = new SmallDisk();
    const one = await start({ disk });
    disk.roomBytes = 0;
    let calls = 0;
    open(one, opened("a"), () => calls++);
    close(one, closed("a"), () => calls++);
    await new Promise((resolve) => setImmediate(resolve));
    expect(calls).toBe(2);
    expect(one.health()).toMatchObject({ state: "spooling", waiting: 1, lost: 0 });
    disk.roomBytes = Number.POSITIVE_INFINITY;
    await one.drain();
    expect([...usage.records.keys()]).toEqual(["a"]);
  });
});

describe("a full disk", () => {
  it.each([0, 1, 37, 400])(
    "with %i bytes left costs no record, and the journal goes on without a restart",
    async (room) => {
      const disk = new SmallDisk();
      const one = await start({ disk });
      open(one, opened("before"));
      open(one, opened("during"));
      disk.roomBytes = room;
      close(one, closed("before"));
      open(one, opened("inside"));
      close(one, closed("inside"));
      open(one, opened("still-open"));
      expect(one.health().state).toBe("spooling");
      expect(one.health().reason).toContain("full");
      await one.drain();
      clock.advance(5_000);
      expect(one.health().state).toBe("spooling");
      disk.roomBytes = Number.POSITIVE_INFINITY;
      clock.advance(1_000);
      expect(one.health()).toMatchObject({ state: "ok", reason: null, waiting: 0, lost: 0 });
      close(one, closed("during"));
      await one.drain();
      expect([...usage.records.keys()].sort()).toEqual(["before", "during", "inside"]);
      abandon();
      await (await start()).drain();
      expect(usage.records.get("still-open")?.outcome).toBe("interrupted");
      expect(usage.records.size).toBe(4);
    },
  );

  it("while the files cannot even be made is no reason not to start", async () => {
    let isFull = true;
    const disk: JournalDisk = {
      append: systemDisk.append,
      create: (path) => {
        if (isFull) throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
        return systemDisk.create(path);
      },
    };
    const one = await start({ disk });
    open(one, opened("a"));
    close(one, closed("a"));
    expect(one.health()).toMatchObject({ state: "spooling", waiting: 1 });
    isFull = false;
    await one.drain();
    expect(usage.records.size).toBe(1);
    expect(one.health().state).toBe("ok");
  });

  it("that stays full ends in counted losses, in bounded memory, and keeps the oldest", async () => {
    const disk = new SmallDisk();
    const one = await start({ disk, spoolBytes: 5_000 });
    disk.roomBytes = 0;
    for (let index = 0; index < 100; index += 1) {
      open(one, opened(`r${index}`));
      close(one, closed(`r${index}`));
    }
    const { waiting, lost, state } = one.health();
    expect(state).toBe("failing");
    expect(waiting + lost).toBe(100);
    disk.roomBytes = Number.POSITIVE_INFINITY;
    clock.advance(1_000);
    await one.drain();
    expect([...usage.records.keys()]).toEqual(Array.from({ length: waiting }, (_, index) => `r${index}`));
    expect(one.health()).toMatchObject({ state: "ok", lost });
  });
});

it("a folder that cannot be written is store_readonly, with the next step", async () => {
  const disk: JournalDisk = {
    append: systemDisk.append,
    create: () => {
      throw Object.assign(new Error("EROFS: read-only file system, open"), { code: "EROFS" });
    },
  };
  await expect(start({ disk })).rejects.toMatchObject({
    code: "store_readonly",
    hint: expect.stringContaining("chown"),
  });
});
