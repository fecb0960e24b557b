import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";

/**
 * Who may import whom (docs: DESIGN §3). Keys and values are folders of `src`, or single files with their path.
 * A folder may always import itself. `lib` and `errors.ts` may be imported by everything.
 */
const ALLOWED: Record<string, readonly string[]> = {
  lib: ["errors.ts"],
  "errors.ts": [],
  http1: [],
  access: ["dialects"],
  routing: ["access", "dialects"],
  continuity: ["access", "routing", "dialects"],
  usage: ["dialects"],
  dialects: [],
  tunnel: ["http1"],
  engines: ["http1", "tunnel/link.ts", "dialects"],
  storage: ["access", "usage"],
  config: ["access", "routing", "continuity", "usage", "dialects", "engines/engine.ts", "tunnel/link.ts"],
  proxy: [
    "http1",
    "config/resolved.ts",
    "config/defaults.ts",
    "access",
    "routing",
    "continuity",
    "usage",
    "dialects",
    "engines/engine.ts",
    "storage/store.ts",
    "tunnel/link.ts",
  ],
  admin: [
    "access",
    "routing",
    "continuity",
    "usage",
    "dialects",
    "config",
    "engines/engine.ts",
    "storage/store.ts",
    "storage/audit-chain.ts",
    "tunnel/link.ts",
  ],
  gateway: [
    "http1",
    "access",
    "routing",
    "continuity",
    "usage",
    "dialects",
    "tunnel",
    "engines",
    "storage",
    "config",
    "proxy",
    "admin",
    "ops/drill/nft.ts",
  ],
  agent: ["tunnel", "engines", "config", "dialects"],
  ops: ["config", "engines", "tunnel"],
  cli: [
    "gateway",
    "agent",
    "ops",
    "config",
    "admin",
    "storage",
    "engines",
    "tunnel",
    "usage",
    "access",
    "continuity",
    "dialects",
  ],
};

/** Adapters: siblings below these folders must not see each other. */
const SIBLINGS_APART = ["engines", "storage"];

interface Import {
  from: string;
  to: string;
  isTypeOnly: boolean;
}

/** Every import that breaks the table, and every runtime cycle, in words. Empty when all is well. */
export function findViolations(sourceFolder: string): string[] {
  const imports = listFiles(sourceFolder).flatMap((file) => readImports(sourceFolder, file));
  return [...imports.flatMap(breaksTable), ...findCycles(imports.filter((one) => !one.isTypeOnly))];
}

/** What the client imports beyond its own files: nothing may, not even a package. It is published on its own and runs in browsers. */
export function findClientViolations(clientFolder: string): string[] {
  const imports = listFiles(clientFolder).flatMap((file) => readImports(clientFolder, file));
  const outside = imports.filter(({ from, to }) => to.startsWith("..") && !isTestFile(from));
  const packages = listFiles(clientFolder)
    .filter((file) => !isTestFile(file))
    .flatMap((file) =>
      [...readFileSync(file, "utf8").matchAll(/(?:\bfrom|^\s*import|\bimport\()\s*["']([^."'][^"']*)["']/gm)].map(
        ([, name]) => `client: ${relative(clientFolder, file)} imports the package ${name}`,
      ),
    );
  return [
    ...outside.map(({ from, to }) => `client: ${from} imports ${to}, outside client/src`),
    ...packages,
    ...findCycles(imports.filter((one) => !one.isTypeOnly)),
  ];
}

function isTestFile(file: string): boolean {
  return /\.test\.ts$/.test(file);
}

function listFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|tsx)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
}

function readImports(sourceFolder: string, file: string): Import[] {
  const text = readFileSync(file, "utf8");
  const pattern =
    /^\s*(import|export)\s+(type\s+)?[^;'"]*?from\s+["'](\.[^"']+)["']|^\s*import\s+["'](\.[^"']+)["']|import\(\s*["'](\.[^"']+)["']\s*\)/gm;
  const found: Import[] = [];
  for (const match of text.matchAll(pattern)) {
    const specifier = match[3] ?? match[4] ?? match[5];
    if (specifier === undefined) continue;
    found.push({
      from: relative(sourceFolder, file).split(sep).join("/"),
      to: relative(sourceFolder, resolve(dirname(file), specifier))
        .split(sep)
        .join("/"),
      isTypeOnly: match[2] !== undefined,
    });
  }
  return found;
}

function breaksTable({ from, to }: Import): string[] {
  const isTest = isTestFile(from);
  const owner = from.split("/")[0] ?? from;
  const target = to.split("/")[0] ?? to;
  if (to.startsWith("..")) return isTest || /\.json$/.test(to) ? [] : [`${from} imports ${to}, outside src`];
  if (SIBLINGS_APART.includes(owner) && owner === target) {
    const mine = from.split("/");
    const theirs = to.split("/");
    const areSiblings = mine.length > 2 && theirs.length > 2 && mine[1] !== theirs[1];
    return areSiblings ? [`${from} imports its sibling ${to}`] : [];
  }
  if (owner === target || target === "lib" || to === "errors.ts" || isTest) return [];
  const allowed = ALLOWED[owner];
  if (allowed === undefined) return [`${from}: folder "${owner}" has no row in scripts/check-boundaries.ts`];
  return allowed.includes(target) || allowed.includes(to) ? [] : [`${from} may not import ${to}`];
}

function findCycles(imports: Import[]): string[] {
  const graph = Map.groupBy(imports, (one) => one.from);
  const state = new Map<string, "open" | "done">();
  const cycles: string[] = [];
  function visit(file: string, path: string[]): void {
    if (state.get(file) === "done") return;
    if (state.get(file) === "open") {
      cycles.push(`runtime cycle: ${[...path.slice(path.indexOf(file)), file].join(" -> ")}`);
      return;
    }
    state.set(file, "open");
    for (const next of graph.get(file) ?? []) visit(next.to, [...path, file]);
    state.set(file, "done");
  }
  for (const file of graph.keys()) visit(file, []);
  return cycles;
}

if (import.meta.main) {
  const violations = [
    ...findViolations(resolve(import.meta.dirname, "../src")),
    ...findClientViolations(resolve(import.meta.dirname, "../client/src")),
  ];
  for (const violation of violations) console.error(violation);
  process.exitCode = violations.length === 0 ? 0 : 1;
}
