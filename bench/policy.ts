import { join } from "node:path";
import { run } from "./children.ts";

/** What keys, their policy and their limits cost. */
export interface PolicyResult {
  /** Keys in memory while the path was measured, each with a policy of its own. */
  pathKeys: number;
  /** Processor time that a request takes for the sake of its key, in microseconds. */
  pathCpuUs: number;
  loadKeys: number;
  /** From an open store to a keyring that answers. */
  loadSeconds: number;
  /** Of all threads, the database's included. */
  loadCpuSeconds: number;
  /** What resident memory grew by meanwhile. */
  loadBytes: number;
}

const PATH_KEYS = 10_000;

/** Measures in processes of their own. Needs no peer, no engine and no compiler. */
export async function measurePolicy(folder: string, isQuick: boolean): Promise<PolicyResult> {
  const loadKeys = isQuick ? 20_000 : 100_000;
  const store = join(folder, "policy-store");
  const { cpuUs } = await ask<{ cpuUs: number }>([
    "--path",
    String(PATH_KEYS),
    "--requests",
    isQuick ? "50000" : "200000",
  ]);
  await ask(["--fill", String(loadKeys), "--folder", store]);
  const loaded = await ask<{ keys: number; seconds: number; cpuSeconds: number; bytes: number }>([
    "--load",
    "--folder",
    store,
  ]);
  return {
    pathKeys: PATH_KEYS,
    pathCpuUs: cpuUs,
    loadKeys: loaded.keys,
    loadSeconds: loaded.seconds,
    loadCpuSeconds: loaded.cpuSeconds,
    loadBytes: loaded.bytes,
  };
}

async function ask<T>(args: readonly string[]): Promise<T> {
  const script = join(import.meta.dirname, "policy-run.ts");
  const text = await run("policy", process.execPath, ["--expose-gc", script, ...args], {});
  return JSON.parse(text) as T;
}
