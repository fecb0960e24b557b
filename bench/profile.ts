import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

/**
 * Reads processor profiles (`BENCH_CPU_PROFILE=FOLDER npm run bench …`) and prints where time went.
 *
 *   node bench/profile.ts FOLDER [rows] [skip]      leaves out the first `skip` seconds: starting up
 */
interface Profile {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number }; children?: number[] }[];
  samples: number[];
  timeDeltas: number[];
}

const IDLE = new Set(["(idle)", "(program)", "(root)"]);

function main(folder: string, rows: number, skipSeconds: number): void {
  for (const file of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (file.endsWith(".cpuprofile")) print(join(folder, file), rows, skipSeconds);
  }
}

function print(file: string, rows: number, skipSeconds: number): void {
  const profile = JSON.parse(readFileSync(file, "utf8")) as Profile;
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map<number, number>();
  for (const node of profile.nodes) for (const child of node.children ?? []) parents.set(child, node.id);
  const self = new Map<string, number>();
  const total = new Map<string, number>();
  const byArea = new Map<string, number>();
  let busy = 0;
  let elapsedUs = 0;
  for (const [index, id] of profile.samples.entries()) {
    const node = byId.get(id);
    const us = profile.timeDeltas[index] ?? 0;
    elapsedUs += us;
    if (node === undefined || elapsedUs < skipSeconds * 1e6) continue;
    const name = nameOf(node);
    add(self, name, us);
    if (IDLE.has(node.callFrame.functionName)) continue;
    busy += us;
    add(byArea, areaOf(node.callFrame.url, node.callFrame.functionName), us);
    const seen = new Set<string>();
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const ancestor = byId.get(at);
      if (ancestor !== undefined) seen.add(nameOf(ancestor));
    }
    for (const one of seen) add(total, one, us);
  }
  console.log(`\n${file}: ${(busy / 1e6).toFixed(2)} s busy (idle and program left out of shares)`);
  const share = (us: number) => `${((us / busy) * 100).toFixed(1).padStart(5)} %`;
  console.log("  by area");
  for (const [name, us] of top(byArea, 16)) console.log(`  ${share(us)}  ${name}`);
  console.log("  self time");
  for (const [name, us] of top(self, rows)) console.log(`  ${share(us)}  ${name}`);
  console.log("  with what it calls");
  for (const [name, us] of top(total, rows)) console.log(`  ${share(us)}  ${name}`);
}

function nameOf({ callFrame: { functionName, url, lineNumber } }: Profile["nodes"][number]): string {
  return `${functionName || "(anonymous)"} ${shortUrl(url)}${url === "" ? "" : `:${lineNumber + 1}`}`;
}

function shortUrl(url: string): string {
  if (!url.startsWith("file:")) return url;
  const path = relative(join(import.meta.dirname, ".."), new URL(url).pathname);
  return path.replace(/^bench\/\.cache\/postern\/dist\//, "src/");
}

function areaOf(url: string, functionName: string): string {
  if (url === "") return functionName === "(garbage collector)" ? functionName : "native";
  const path = shortUrl(url);
  const module = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1];
  if (module !== undefined) return module;
  return path.startsWith("node:") ? path.split("/").slice(0, 3).join("/") : path.split("/").slice(0, 2).join("/");
}

function add(map: Map<string, number>, name: string, us: number): void {
  map.set(name, (map.get(name) ?? 0) + us);
}

function top(map: Map<string, number>, rows: number): [string, number][] {
  return [...map].toSorted((a, b) => b[1] - a[1]).slice(0, rows);
}

main(process.argv[2] ?? ".", Number(process.argv[3] ?? 25), Number(process.argv[4] ?? 0));
