import type { Logger } from "pino";
import type { Clock } from "../lib/clock.ts";
import type { Steering } from "../routing/steering.ts";

/** A machine that is coming up is sent no more than one packet in this time. */
const WAKE_EVERY_MS = 20_000;
/** One that does not come is left alone for this long after so many packets. */
const PACKETS_IN_A_ROW = 9;
const PAUSE_MS = 3_600_000;

export interface WakerParts {
  clock: Clock;
  log: Logger;
  steering(): Steering;
  /** Asks the agents of a node to send the packet; false where none is connected. */
  send(viaNodeId: string, mac: string): boolean;
  nodeName(nodeId: string): string | null;
}

/** Wakes machines on request, each at a bounded rate: requests that wait ask several times a second. */
export class Waker {
  readonly #parts: WakerParts;
  /** By node; only those with a setting, so that it is as bounded as those are. */
  readonly #sent = new Map<string, { atMs: number; count: number }>();

  constructor(parts: WakerParts) {
    this.#parts = parts;
  }

  /** Whether a packet is under way, or the machine has time to come after the last one. */
  wake(nodeId: string): boolean {
    const { clock, log, steering, send, nodeName } = this.#parts;
    const setting = steering().wakes[nodeId];
    if (setting === undefined) return false;
    const nowMs = clock.monotonicMs();
    const before = this.#sent.get(nodeId);
    const sinceMs = before === undefined ? Number.POSITIVE_INFINITY : nowMs - before.atMs;
    if (sinceMs < WAKE_EVERY_MS) return true;
    const count = sinceMs > PAUSE_MS ? 0 : (before?.count ?? 0);
    if (count >= PACKETS_IN_A_ROW) return false;
    if (!send(setting.via, setting.mac)) return false;
    this.#sent.set(nodeId, { atMs: nowMs, count: count + 1 });
    log.info({ node: nodeName(nodeId), via: nodeName(setting.via), mac: setting.mac }, "waking a node");
    return true;
  }

  /** The node is there: the next time it is woken at once. */
  arrived(nodeId: string): void {
    this.#sent.delete(nodeId);
  }
}
