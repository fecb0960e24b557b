import { createRequire } from "node:module";
import { formatFor } from "../../src/dialects/formats.ts";
import { OPERATIONS } from "../../src/dialects/operations.ts";
import { nativeOperations } from "../../src/engines/native-operations.ts";
import type { ClientKind } from "./client.ts";
import type { EngineRow } from "./engine.ts";

/** What each cell of the matrix tries, in the order of the page. */
export const BEHAVIOURS = ["whole", "stream", "thinking", "tools", "embed", "cancel", "error", "break"] as const;
export type Behaviour = (typeof BEHAVIOURS)[number];

interface Cell {
  passed: Set<Behaviour>;
  /** Path at which the engine was asked. */
  path: string | null;
}

const require = createRequire(import.meta.url);

/** What came out of the matrix, for docs/reference/compatibility.md. */
export class Compatibility {
  readonly #clients: readonly ClientKind[];
  readonly #engines: readonly EngineRow[];
  readonly #cells = new Map<ClientKind, Map<EngineRow, Cell>>();

  constructor(clients: readonly ClientKind[], engines: readonly EngineRow[]) {
    this.#clients = clients;
    this.#engines = engines;
    for (const client of clients) {
      this.#cells.set(client, new Map(engines.map((engine) => [engine, { passed: new Set(), path: null }])));
    }
  }

  /** Notes that a behaviour is as it should be. @param path Where the engine was asked, if that is known. */
  passed(client: ClientKind, engine: EngineRow, behaviour: Behaviour, path: string | null): void {
    const cell = this.#cell(client, engine);
    cell.passed.add(behaviour);
    cell.path ??= path;
  }

  /** Whether anything was tried with this engine. */
  hasTried(engine: EngineRow): boolean {
    return this.#clients.some((client) => this.#cell(client, engine).passed.size > 0);
  }

  /** The table, with its notes below. */
  render(): string {
    const notes: string[] = [];
    const titles = this.#engines.map(({ title }) => title);
    const rows = this.#clients.map((client) => {
      const cells = this.#engines.map((engine) => this.#cell(client, engine));
      const all = BEHAVIOURS.filter((one) => cells.some(({ passed }) => passed.has(one)));
      const words = this.#engines.map((engine) => this.#words(client, engine, all, notes));
      return row([client.packages.map(withVersion).join(", "), client.dialect, all.join(", "), ...words]);
    });
    const head = ["Library", "Dialect", "Tried", ...titles];
    const table = [row(head), row(head.map(() => "---")), ...rows].join("\n");
    return [table, ...notes.map((note, index) => `${index + 1}. ${note}`)]
      .join("\n\n")
      .replace(/\n\n(?=[2-9]\. )/g, "\n");
  }

  #words(client: ClientKind, engine: EngineRow, all: readonly Behaviour[], notes: string[]): string {
    const { passed, path } = this.#cell(client, engine);
    if (passed.size === 0) return "–";
    const asked = path === null ? plannedOperation(client.operation, engine) : operationAt(path);
    const way = asked === client.operation ? "native" : `via ${asked.replace(/^\w+\./, "")}`;
    const missing = all.filter((one) => !passed.has(one));
    if (missing.length === 0) return way;
    const note = `Not tried: ${missing.join(", ")}.`;
    if (!notes.includes(note)) notes.push(note);
    return `${way} <sup>${notes.indexOf(note) + 1}</sup>`;
  }

  #cell(client: ClientKind, engine: EngineRow): Cell {
    const cell = this.#cells.get(client)?.get(engine);
    if (cell === undefined) throw new Error("no such client or engine");
    return cell;
  }
}

/** The operation by which an engine is asked that does not tell what it was asked. */
function plannedOperation(operation: string, { kind }: EngineRow): string {
  const native = new Set(nativeOperations({ kind, version: null }));
  return formatFor(operation, native)?.operation.id ?? "nothing";
}

function operationAt(path: string): string {
  return OPERATIONS.find((operation) => operation.path === path && operation.method === "POST")?.id ?? path;
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

/** Name and installed version of a package, as text. */
function withVersion(name: string): string {
  const { devDependencies } = require("../../package.json") as { devDependencies: Record<string, string> };
  return `\`${name}\` ${devDependencies[name]}`;
}
