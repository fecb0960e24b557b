import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { authorise } from "../src/access/authorise.ts";
import { readCredential } from "../src/access/credentials.ts";
import type { KeyRecord } from "../src/access/key.ts";
import { createKey } from "../src/access/key-format.ts";
import { KeyLimits } from "../src/access/key-limits.ts";
import { Keyring } from "../src/access/keyring.ts";
import { Places } from "../src/access/places.ts";
import { type KeyPolicy, writePolicy } from "../src/access/policy.ts";
import type { RequestFacts } from "../src/dialects/dialect.ts";
import { estimateTokens } from "../src/dialects/estimate-tokens.ts";
import { limitHeaders } from "../src/dialects/limit-headers.ts";
import { operationById } from "../src/dialects/operations.ts";
import { scanBody } from "../src/lib/json-scan.ts";
import { openSqliteStore } from "../src/storage/sqlite/open-store.ts";
import { Prices } from "../src/usage/price.ts";

// A process of its own for each measurement, so that nothing else is compiled, loaded or collected in it. Prints one JSON value.

/** A policy that uses every word which costs something, different for each key. */
function policyOf(index: number): KeyPolicy {
  return {
    version: 1,
    models: ["llama*", "qwen3:8b", "bench"],
    operations: ["openai.chat", "openai.models"],
    addresses: ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32", "127.0.0.1"],
    workflow: `w${index}`,
    expiresAtMs: 4_000_000_000_000 + index,
    requestsPerMinute: 1_000_000,
    tokensPerMinute: 1_000_000_000,
    concurrency: 1000,
    budgets: {
      tokensPerDay: { soft: 1_000_000_000, hard: 1_000_000_000_000 },
      costMicrosPerMonth: { hard: 1_000_000_000_000 },
    },
  };
}

function recordOf(index: number, id: string, hash: Uint8Array): KeyRecord {
  return {
    id,
    name: `key ${index}`,
    hash,
    previousHash: null,
    previousUntilMs: null,
    policy: writePolicy(policyOf(index)),
    createdAtMs: index,
    disabledAtMs: null,
    revokedAtMs: null,
  };
}

/** Processor time of everything that a request does for the sake of its key, in microseconds. */
function measurePath(keys: number, requests: number): number {
  const keyring = new Keyring();
  const headers: string[][] = [];
  for (let index = 0; index < keys; index++) {
    const { key, id, hash } = createKey((size) => randomBytes(size));
    keyring.put(recordOf(index, id, hash));
    headers.push(["Host", "localhost", "Authorization", `Bearer ${key.reveal()}`, "Content-Type", "application/json"]);
  }
  const places = new Places(null, keyring);
  const none = { endpoint: null, key: null, label: null, purpose: null, owner: null, mayRotate: false };
  const rule = { ...none, name: "lan", effect: "allow", range: "127.0.0.0/8", expiresAtMs: null } as const;
  places.replaceAll([], [rule], Date.now());
  const limits = new KeyLimits();
  const prices = new Prices([{ model: "*", inputMicros: 2_500_000, cachedMicros: 0, outputMicros: 10_000_000 }]);
  const operation = operationById("openai.chat");
  if (operation === undefined) throw new Error("no openai.chat");
  const messages = [{ role: "user", content: "word ".repeat(200) }];
  const scan = scanBody(Buffer.from(JSON.stringify({ model: "bench", max_tokens: 100, messages })));
  const facts: RequestFacts = {
    ...{ model: "bench", isStream: true, wantsUsage: true, hasManyChoices: false },
    ...{ removedFields: [], clampedFields: [] },
  };
  const address = "127.0.0.1";
  let refused = 0;

  function request(rawHeaders: string[]): void {
    const at = { monotonicMs: performance.now(), nowMs: Date.now() };
    if (places.rules.deny(address, "default", at.nowMs) !== null) refused++;
    const { key } = keyring.identify(readCredential(rawHeaders), at.nowMs);
    if (key === null || operation === undefined) throw new Error("a key that is not known");
    authorise(key.policy, { endpoint: "default", address, operation, isPinned: false, certificateHash: () => null });
    const admission = limits.admit(key.id, key.policy.limits, 256, 60_000, at);
    const stop = keyring.watch(key.id, () => {});
    if (!key.policy.mayUseModel("bench")) refused++;
    const { tokensIn, tokensOut } = estimateTokens(scan, facts, operation);
    const costMicros = prices.costOf("bench", null, { tokensIn, tokensInCached: 0, tokensOut });
    admission.reserve({ tokens: tokensIn + tokensOut, costMicros }, at);
    admission.softEdge(at.nowMs);
    const rates = limits.rates(key.id, key.policy.limits, at.monotonicMs);
    if (rates !== null) limitHeaders("openai", rates, at.nowMs);
    admission.renew(at.monotonicMs);
    admission.settle({ tokens: 250, costMicros: 700 }, at);
    admission.cancel();
    stop();
  }

  function run(count: number): number {
    const before = process.cpuUsage();
    for (let index = 0; index < count; index++) request(headers[(index * 7919) % keys] as string[]);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / count;
  }

  // Every key once, so that all policies are compiled; then until the compiler has had its time.
  run(keys + requests);
  const figure = Math.min(run(requests), run(requests), run(requests));
  if (refused > 0) throw new Error("a request was refused");
  return figure;
}

/** Writes a store with so many keys. */
async function fill(folder: string, keys: number): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  const store = await openSqliteStore({ folder });
  for (let start = 0; start < keys; start += 1000) {
    const batch = Array.from({ length: Math.min(1000, keys - start) }, (_, index) => {
      const { id, hash } = createKey((size) => randomBytes(size));
      return store.keys.insert(recordOf(start + index, id, hash));
    });
    await Promise.all(batch);
  }
  await store.close();
}

/** Time and memory from an open store to a keyring that answers. */
async function load(folder: string): Promise<{ keys: number; seconds: number; cpuSeconds: number; bytes: number }> {
  const store = await openSqliteStore({ folder });
  globalThis.gc?.();
  const beforeBytes = process.memoryUsage.rss();
  const beganMs = performance.now();
  const beganCpu = process.cpuUsage();
  const keyring = new Keyring();
  keyring.replaceAll(await store.keys.list());
  const seconds = (performance.now() - beganMs) / 1000;
  const { user, system } = process.cpuUsage(beganCpu);
  const cpuSeconds = (user + system) / 1e6;
  const bytes = process.memoryUsage.rss() - beforeBytes;
  const keys = keyring.size;
  await store.close();
  return { keys, seconds, cpuSeconds, bytes };
}

const { values } = parseArgs({
  options: {
    path: { type: "string" },
    requests: { type: "string" },
    fill: { type: "string" },
    load: { type: "boolean" },
    folder: { type: "string" },
  },
});
const folder = values.folder ?? "";
let result: unknown = null;
if (values.path !== undefined) result = { cpuUs: measurePath(Number(values.path), Number(values.requests)) };
if (values.fill !== undefined) await fill(folder, Number(values.fill));
if (values.load === true) result = await load(folder);
process.stdout.write(`${JSON.stringify(result)}\n`);
