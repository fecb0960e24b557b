import type { SettingStore } from "../storage/store.ts";

/** Name of the setting that remembers them. */
const SETTING = "catalogue.owners";
/** Most names that are remembered. Beyond it a name is its node's only until the gateway's next start. */
const MAX_NAMES = 20_000;

/**
 * Which node offered a model name first. A node without a grant may serve only names that are nobody else's, and that must
 * not depend on who dials in first after a restart: so they are written down.
 */
export class ModelOwners {
  readonly #settings: SettingStore;
  readonly #onFailure: (error: unknown) => void;
  readonly #owners: Map<string, string>;
  #isWriting = false;
  #isDirty = false;

  private constructor(settings: SettingStore, owners: Map<string, string>, onFailure: (error: unknown) => void) {
    this.#settings = settings;
    this.#owners = owners;
    this.#onFailure = onFailure;
  }

  /** Reads what was written down. Rejects with `store_*` codes; a value that is not readable counts as empty. */
  static async load(settings: SettingStore, onFailure: (error: unknown) => void): Promise<ModelOwners> {
    const stored = await settings.get(SETTING);
    return new ModelOwners(settings, new Map(parse(stored)), onFailure);
  }

  /** Id of the node that has the name, or undefined. */
  ownerOf(model: string): string | undefined {
    return this.#owners.get(model);
  }

  /** Gives a name that nobody has to a node. */
  claim(model: string, nodeId: string): void {
    if (this.#owners.has(model) || this.#owners.size >= MAX_NAMES) return;
    this.#owners.set(model, nodeId);
    this.#save();
  }

  /** The node is gone; its names are free. */
  forget(nodeId: string): void {
    for (const [model, owner] of this.#owners) if (owner === nodeId) this.#owners.delete(model);
    this.#save();
  }

  /** One write at a time; whatever changes meanwhile goes into the next one. */
  #save(): void {
    this.#isDirty = true;
    if (this.#isWriting) return;
    this.#isWriting = true;
    queueMicrotask(() => {
      this.#write()
        .catch(this.#onFailure)
        .finally(() => {
          this.#isWriting = false;
          if (this.#isDirty) this.#save();
        });
    });
  }

  async #write(): Promise<void> {
    this.#isDirty = false;
    await this.#settings.set(SETTING, Buffer.from(JSON.stringify([...this.#owners])));
  }
}

function parse(stored: Uint8Array | null): Array<[string, string]> {
  if (stored === null) return [];
  try {
    const value: unknown = JSON.parse(Buffer.from(stored).toString("utf8"));
    return Array.isArray(value) ? value.filter(isPair) : [];
  } catch {
    return [];
  }
}

function isPair(value: unknown): value is [string, string] {
  return Array.isArray(value) && value.length === 2 && value.every((one) => typeof one === "string");
}
