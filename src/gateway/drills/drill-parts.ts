import type { Logger } from "pino";
import type { Keyring } from "../../access/keyring.ts";
import type { Places } from "../../access/places.ts";
import type { AlertEvidence } from "../../continuity/drill/record.ts";
import type { HttpRequest } from "../../http1/request.ts";
import type { HttpResponse } from "../../http1/response.ts";
import type { Clock } from "../../lib/clock.ts";
import type { FaultInjector } from "../../proxy/fault-injector.ts";
import type { Origin } from "../../proxy/identify.ts";
import type { Catalogue, Target } from "../../proxy/target.ts";
import type { AuditDraft } from "../../storage/audit-chain.ts";
import type { Changes, Store } from "../../storage/store.ts";
import type { SystemBlock } from "./system-block.ts";

/** What drills ask of the store. */
export interface DrillStores extends Pick<Store, "drills" | "settings"> {
  usage: Pick<Store["usage"], "answered">;
  audited(entry: AuditDraft): Pick<Changes, "drills">;
}

/** What drills are made of. Chosen once, at the composition root. */
export interface DrillParts {
  clock: Clock;
  log: Logger;
  /** Makes UUIDv7s. */
  newId: () => string;
  store: DrillStores;
  faults: FaultInjector;
  catalogue: Catalogue;
  /** Every target there is. */
  targets(): Iterable<Target>;
  /** Where nodes and providers are reached by URL, by label. */
  urls: ReadonlyMap<string, string>;
  keyring: Keyring;
  places: Places;
  /** The data plane. */
  handle(request: HttpRequest, response: HttpResponse, origin: Origin): void;
  /** Brings finished requests into the store. Does not reject. */
  settleUsage(): Promise<void>;
  /** Why records cannot be kept, or null. */
  storeTrouble(): string | null;
  /** Why providers are skipped, or null. */
  contingency(): string | null;
  /** What alerts were raised from then on, and who was told; null where no alerts are set up. */
  alertsSince(sinceMs: number): Promise<AlertEvidence[]> | null;
  system: SystemBlock;
}
