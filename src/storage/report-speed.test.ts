import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import { keyRecord } from "../../test/support/key-record.ts";
import { openSqliteStore } from "./sqlite/open-store.ts";
import type { Store } from "./store.ts";

// "A report over a million rows never stalls a stream": while the heaviest report runs (cut in the middle of the only day, so
// that no rollup helps), keys are created and the event loop is watched. The bounds are shares of the report's own time, because
// machines differ; the report must be long enough for that to mean something.

const ROWS = 1_000_000;
const DAY_MS = 86_400_000;
const START_MS = 19_700 * DAY_MS;

const FILL = `
insert into requests (id, endpoint_id, key_id, operation, model, is_stream, opened_at_ms, request_bytes, closed_at_ms, outcome,
  status, error_code, tokens_in, tokens_in_cached, tokens_out, is_estimated, time_to_first_token_ms, duration_ms, cost_micros,
  served_by, generation_tokens, generation_ms, tokens_reasoning)
with recursive n(i) as (select 0 union all select i + 1 from n where i < ${ROWS} - 1)
select printf('01900000-0000-7000-8000-%012d', i), 'default', 'key' || (i % 50), 'openai-chat', 'model' || (i % 20), 1,
  ${START_MS} + i * 80, 400, ${START_MS} + i * 80, case i % 10 when 0 then 'failed' else 'ok' end, 200, null, 100, 0, 50, 0, 120,
  1500, 3, 'node' || (i % 5), 49, 1380, case i % 4 when 0 then 30 else null end
from n`;

it("a report over a million rows stalls neither the event loop nor a key creation", async () => {
  const folder = mkdtempSync(join(tmpdir(), "postern-speed-"));
  try {
    await (await openSqliteStore({ folder })).close();
    const database = new DatabaseSync(join(folder, "postern.db"));
    database.exec("pragma synchronous = off; pragma journal_mode = memory");
    database.exec(FILL);
    database.exec("pragma journal_mode = wal");
    database.close();

    const store = await openSqliteStore({ folder });
    // Starts the reader's thread, which is not what is measured.
    await store.usage.request("nobody");
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    let isRunning = true;
    const start = performance.now();
    const reporting = store.usage
      .report({ by: "key", sinceMs: START_MS + 1, untilMs: START_MS + (ROWS - 1) * 80 })
      .finally(() => {
        isRunning = false;
      });
    const inserts: number[] = [];
    while (isRunning) {
      const before = performance.now();
      await insertKey(store, `key-${inserts.length}`);
      inserts.push(performance.now() - before);
      await Promise.race([reporting, new Promise((resolve) => setTimeout(resolve, 2))]);
    }
    const reportMs = performance.now() - start;
    delay.disable();
    const rows = await reporting;
    await store.close();

    expect(rows).toHaveLength(50);
    expect(rows.reduce((sum, row) => sum + row.requests, 0)).toBe(ROWS - 2);
    expect(rows[0]?.tokensPerSecond).toBeCloseTo(49_000 / 1_380);
    expect(rows[0]?.timeToFirstTokenMs).toBe(120);
    expect(inserts.length).toBeGreaterThan(5);
    const median = inserts.toSorted((a, b) => a - b)[inserts.length >> 1] as number;
    expect(median).toBeLessThan(reportMs / 10);
    expect(delay.max / 1e6).toBeLessThan(reportMs / 3);
    process.stderr.write(
      `report over ${ROWS} rows: ${reportMs.toFixed(0)} ms; ${inserts.length} key inserts meanwhile, median ` +
        `${median.toFixed(1)} ms; event loop at most ${(delay.max / 1e6).toFixed(1)} ms late\n`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 240_000);

async function insertKey(store: Store, id: string): Promise<void> {
  await store.keys.insert(keyRecord({ id, createdAtMs: 1 }));
}
