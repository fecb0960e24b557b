import type { EngineReport } from "../tunnel/link.ts";

/**
 * How busy one engine of a node is, whichever of its models the requests are for: slots and queue are the engine's.
 *
 * Our own attempts are counted here and exact at any time. What came to the engine past us is known from its last report, which
 * is seconds old and counts ours too: so much of it counts as was more than the most that we had there since the report before.
 * That errs towards too little, never counts an attempt of ours twice, and a wrong figure lasts until the next report.
 */
export class EngineBusy {
  /** Requests it runs at once, over all connectors that report it; null where one of them does not say. */
  slots: number | null = null;
  /** Requests that wait inside it, as it says; null where it does not. */
  queued: number | null = null;
  #own = 0;
  /** Most of our own since the last report. */
  #peak = 0;
  #outside = 0;
  /** What each connector reported last. */
  readonly #reports = new Map<string, EngineReport>();
  readonly #onFreed: () => void;

  /** @param onFreed An attempt has ended. Must not throw. */
  constructor(onFreed: () => void = () => {}) {
    this.#onFreed = onFreed;
  }

  /** Requests there now, those in its own queue included. */
  get busy(): number {
    return this.#own + this.#outside;
  }

  began(): void {
    this.#own += 1;
    if (this.#own > this.#peak) this.#peak = this.#own;
  }

  ended(): void {
    this.#own -= 1;
    this.#onFreed();
  }

  /** @param report Null: the connector does not report it any more, or it is not ready there. */
  learn(connectorId: string, report: EngineReport | null): void {
    if (report === null) this.#reports.delete(connectorId);
    else this.#reports.set(connectorId, report);
    let slots: number | null = this.#reports.size === 0 ? null : 0;
    let counted = 0;
    let queued: number | null = null;
    for (const one of this.#reports.values()) {
      slots = slots === null || one.slots === null ? null : slots + one.slots;
      if (one.load?.queued != null) queued = (queued ?? 0) + one.load.queued;
      counted += (one.load?.running ?? 0) + (one.load?.queued ?? 0);
    }
    this.slots = slots;
    this.queued = queued;
    this.#outside = Math.max(0, counted - this.#peak);
    this.#peak = this.#own;
  }
}

/** The engines of all nodes. */
export class BusyEngines {
  readonly #engines = new Map<string, Map<string, EngineBusy>>();
  readonly #onFreed: () => void;

  /** @param onFreed An attempt has ended somewhere. Must not throw. */
  constructor(onFreed: () => void) {
    this.#onFreed = onFreed;
  }

  of(nodeId: string, engine: string): EngineBusy {
    const ofNode = this.#engines.get(nodeId) ?? new Map<string, EngineBusy>();
    this.#engines.set(nodeId, ofNode);
    const busy = ofNode.get(engine) ?? new EngineBusy(this.#onFreed);
    ofNode.set(engine, busy);
    return busy;
  }

  /** What a connector says of the engines of its node, all of them. */
  learn(nodeId: string, connectorId: string, engines: readonly EngineReport[]): void {
    for (const { name } of engines) this.of(nodeId, name);
    for (const [name, busy] of this.#engines.get(nodeId) ?? []) {
      const report = engines.find((engine) => engine.name === name);
      busy.learn(connectorId, report?.ready === true ? report : null);
    }
  }

  forget(nodeId: string): void {
    this.#engines.delete(nodeId);
  }
}
