import type { Steering } from "../routing/steering.ts";
import type { SettingStore } from "../storage/store.ts";
import type { NodeReport } from "../tunnel/link.ts";
import { readReport } from "../tunnel/report.ts";
import type { LiveCatalogue } from "./catalogue.ts";

export interface SleepingNodesParts {
  settings: SettingStore;
  catalogue: Pick<LiveCatalogue, "setReport" | "dropReport">;
  steering(): Steering;
  /** A write that nobody waits for failed. */
  onFailure(error: unknown): void;
}

/**
 * Keeps what nodes that can be woken reported last over restarts of the gateway: else nobody would know that a model is on a
 * machine that sleeps, and nothing would wake it.
 */
export class SleepingNodes {
  readonly #parts: SleepingNodesParts;
  /** By node: engines and models as they are written down. */
  readonly #written = new Map<string, string>();

  constructor(parts: SleepingNodesParts) {
    this.#parts = parts;
  }

  /** Tells the catalogue what was kept. Rejects with `store_*` codes. */
  async load(): Promise<void> {
    const { settings, catalogue, steering } = this.#parts;
    for (const nodeId of Object.keys(steering().wakes)) {
      const report = parse(await settings.get(settingOf(nodeId)));
      if (report === null) continue;
      const engines = report.engines.map((engine) => ({ ...engine, ready: false, reason: "the node is away" }));
      catalogue.setReport(nodeId, rememberedAs(nodeId), { ...report, engines });
    }
  }

  /** The node itself has reported: what was kept of it counts no more, and this is kept if it has other models. */
  reported(nodeId: string, report: NodeReport): void {
    const { settings, catalogue, steering, onFailure } = this.#parts;
    catalogue.dropReport(rememberedAs(nodeId));
    if (!Object.hasOwn(steering().wakes, nodeId)) return;
    const engines = report.engines.filter((engine) => engine.models.length > 0);
    const names = JSON.stringify(
      engines.map(({ name, kind, models }) => [name, kind, models.map((model) => model.name)]),
    );
    if (engines.length === 0 || this.#written.get(nodeId) === names) return;
    this.#written.set(nodeId, names);
    settings.set(settingOf(nodeId), Buffer.from(JSON.stringify({ ...report, engines }))).catch(onFailure);
  }
}

function parse(bytes: Uint8Array | null): NodeReport | null {
  if (bytes === null) return null;
  try {
    return readReport(JSON.parse(Buffer.from(bytes).toString("utf8")));
  } catch {
    return null;
  }
}

function settingOf(nodeId: string): string {
  return `sleeping-node/${nodeId}`;
}

/** No connector has such an id. */
function rememberedAs(nodeId: string): string {
  return `remembered/${nodeId}`;
}
