import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { PlayedTarget } from "../../test/support/played-target.ts";
import { DEFAULT_AUTOMATIC, DEFAULT_CONTINUITY, defaultConfig } from "../config/defaults.ts";
import type { ContingencyBook } from "../continuity/contingency-book.ts";
import { ManualClock } from "../lib/clock.ts";
import { Closers } from "../lib/closers.ts";
import { DEFAULT_ROUTING } from "../routing/strategy.ts";
import { openSqliteStore } from "../storage/sqlite/open-store.ts";
import type { Store } from "../storage/store.ts";
import { feedContingency, openContingency } from "./open-contingency.ts";

let closers: Closers;
let store: Store;
let clock: ManualClock;
let book: ContingencyBook;

beforeEach(async () => {
  closers = new Closers();
  const folder = mkdtempSync(join(tmpdir(), "postern-contingency-"));
  closers.add(() => rmSync(folder, { recursive: true, force: true }));
  store = await openSqliteStore({ folder });
  closers.add(() => store.close());
  clock = new ManualClock();
  const config = {
    ...defaultConfig(folder),
    continuity: { ...DEFAULT_CONTINUITY, contingency: { rampMs: 60_000, automatic: DEFAULT_AUTOMATIC, windows: [] } },
  };
  book = await openContingency({ config, store, clock, log: pino({ level: "silent" }), closers });
});
afterEach(() => closers.close());

function feed(times: number, node: PlayedTarget, target: PlayedTarget, verdict: "ok" | "failed" | "abandoned"): void {
  const entry = {
    name: "m",
    targets: [node, target],
    routing: DEFAULT_ROUTING,
    isRescued: false,
    listed: () => expect.unreachable(),
  };
  for (let time = 0; time < times; time++) feedContingency(book, { list: () => [entry] }, { target, verdict });
}

test("attempts at a provider that fail again and again put the gateway into contingency, in its own name in the trail", async () => {
  const node = new PlayedTarget("m", "forge");
  const cloud = new PlayedTarget("m", "provider/openai");
  feed(20, cloud, node, "failed");
  feed(20, node, cloud, "abandoned");
  expect(book.view()).toEqual([]);
  node.isAccepting = false;
  feed(20, node, cloud, "failed");
  expect(book.view()).toEqual([]);
  node.isAccepting = true;
  feed(1, node, cloud, "failed");
  expect(book.view()).toMatchObject([{ state: "contingency", causes: [{ cause: "automatic" }] }]);

  clock.advance(1000);
  await book.stop();
  const [entry] = await store.audit.list({
    actor: null,
    action: "contingency.change",
    sinceMs: null,
    beforeSeq: null,
    limit: 9,
  });
  expect(entry?.actor.kind).toBe("gateway");
  expect(entry?.after).toMatchObject([{ from: "normal", to: "contingency", cause: "automatic" }]);
  expect(await store.settings.get("contingency")).not.toBeNull();
});
