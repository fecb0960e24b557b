import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { requestClosed, requestOpened } from "../usage/__fixtures__/request-record.ts";
import { type Journal, openJournal } from "./journal.ts";
import { openSqliteStore } from "./sqlite/open-store.ts";
import type { Store } from "./store.ts";

// Store and journal on one small disk that really fills up, as in production: both fail at once, at whatever byte that is.

let place: string | null = null;
let store: Store | null = null;
let journal: Journal | null = null;

afterEach(async () => {
  await journal?.stop();
  await store?.close();
  if (place !== null) {
    spawnSync("umount", ["-l", place]);
    rmSync(place, { recursive: true, force: true });
  }
});

it("a full disk loses no usage record and corrupts nothing, and is over without a restart", async (context) => {
  place = mkdtempSync(join(tmpdir(), "postern-full-"));
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs", place]).status !== 0) {
    process.stderr.write("\nSKIPPED: the full disk under store and journal needs the right to mount a tmpfs\n");
    rmSync(place, { recursive: true });
    place = null;
    context.skip("no right to mount a tmpfs");
    return;
  }
  const folder = join(place, "data");
  const filler = join(place, "filler");
  store = await openSqliteStore({ folder });
  journal = await openJournal({ folder, usage: store.usage, rotateBytes: 50_000, blockBytes: 20_000 });

  let next = 0;
  for (let round = 0; round < 3; round += 1) {
    writeRecords(200);
    await journal.drain();
    fill(filler);
    writeRecords(200);
    expect(journal.health()).toMatchObject({ state: "spooling", lost: 0, reason: expect.stringContaining("full") });
    // May even help: a journal file that is taken in gives its room back.
    await journal.drain().catch(() => undefined);
    expect(journal.health().lost).toBe(0);
    rmSync(filler);
    await journal.drain();
    await journal.drain();
    expect(journal.health()).toMatchObject({ state: "ok", waiting: 0, lost: 0, behindBytes: 0 });
  }
  expect(await store.health()).toBeNull();

  await journal.stop();
  await store.close();
  // Opening looks for damage.
  store = await openSqliteStore({ folder });
  const [total] = await store.usage.report({ by: "model", sinceMs: 0, untilMs: Number.MAX_SAFE_INTEGER });
  expect(total).toMatchObject({ requests: 1_200, failed: 0 });

  function writeRecords(count: number): void {
    for (const end = next + count; next < end; next += 1) {
      const id = `01900000-0000-7000-8000-${String(next).padStart(12, "0")}`;
      journal?.open(requestOpened(id))?.close(requestClosed(id));
    }
  }
});

function fill(file: string): void {
  for (let size = 1 << 20; size > 0; ) {
    try {
      writeFileSync(file, Buffer.alloc(size), { flag: "a" });
    } catch {
      size >>= 1;
    }
  }
}
