import { AddressWatch } from "../../continuity/alerts/address-watch.ts";
import type { Finding } from "../../continuity/alerts/alert-book.ts";
import type { SettingStore } from "../../storage/store.ts";

const SETTING = "alerts.agent-addresses";

/** The public addresses of agents, over restarts of the gateway: a machine may come back with another one while it was down. */
export class AgentAddresses {
  readonly #settings: SettingStore;
  readonly #onFailure: (error: unknown) => void;
  readonly #watch: AddressWatch;

  private constructor(settings: SettingStore, known: Record<string, string>, onFailure: (error: unknown) => void) {
    this.#settings = settings;
    this.#onFailure = onFailure;
    this.#watch = new AddressWatch(known);
  }

  /** Rejects with `store_*` codes. What is damaged is forgotten. */
  static async load(settings: SettingStore, onFailure: (error: unknown) => void): Promise<AgentAddresses> {
    return new AgentAddresses(settings, readKnown(await settings.get(SETTING)), onFailure);
  }

  /** A link of the connector is ready. */
  seen(connectorId: string, node: string, address: string): void {
    this.#watch.seen(connectorId, node, address);
  }

  /** Changes since the last call; writes down what is new, and what the store did not take before. */
  take(): Finding[] {
    const unsaved = this.#watch.takeUnsaved();
    if (unsaved !== null) {
      this.#settings.set(SETTING, new TextEncoder().encode(JSON.stringify(unsaved))).catch((error: unknown) => {
        this.#watch.notSaved();
        this.#onFailure(error);
      });
    }
    return this.#watch.take();
  }
}

function readKnown(bytes: Uint8Array | null): Record<string, string> {
  if (bytes === null) return {};
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return Object.fromEntries(
      Object.entries(value ?? {}).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
    );
  } catch {
    return {};
  }
}
