import type { Logger } from "pino";
import type { ResolvedConfig } from "../config/resolved.ts";
import { CONTINGENCY_SETTING, ContingencyBook } from "../continuity/contingency-book.ts";
import type { ContingencyChange } from "../continuity/contingency-state.ts";
import { toPosternError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import type { Closers } from "../lib/closers.ts";
import type { AttemptSummary } from "../proxy/observer.ts";
import type { Catalogue } from "../proxy/target.ts";
import type { Store } from "../storage/store.ts";

export interface ContingencyParts {
  config: ResolvedConfig;
  store: Pick<Store, "settings" | "audited">;
  clock: Clock;
  log: Logger;
  closers: Closers;
}

/**
 * The contingency of a running gateway: as it was saved, kept up to date in the store, every change in the log and those that
 * nobody ordered in the audit trail too, in the gateway's own name.
 */
export async function openContingency(parts: ContingencyParts): Promise<ContingencyBook> {
  const { config, store, clock, log, closers } = parts;
  const book = new ContingencyBook({
    rules: config.continuity.contingency,
    clock,
    saved: await store.settings.get(CONTINGENCY_SETTING),
    onChange: (change) => log.warn({ ...change, workflow: change.workflow ?? "all" }, `contingency: ${change.to}`),
    save: (bytes, changes) =>
      (changes.length === 0 ? store.settings : audited(parts, changes).settings).set(CONTINGENCY_SETTING, bytes),
    onFailure: (error) => log.warn({ error: toPosternError(error).message }, "the state of contingency is not saved"),
  });
  if (!book.isReadable) log.warn("what was saved of contingency is not readable: it begins in the normal state");
  for (const { workflow, state, causes } of book.view())
    log.warn({ workflow: workflow ?? "all", causes }, `contingency: ${state} since before the start`);
  book.start();
  closers.add(() => book.stop());
  return book;
}

/**
 * Tells contingency how an attempt at a provider ended. What a node does is no matter of it, nor what a caller ended. It switches by
 * itself only while a node could serve something: without one, a provider that fails half of the time is better than none.
 */
export function feedContingency(
  book: Pick<ContingencyBook, "outcome">,
  catalogue: Pick<Catalogue, "list">,
  { target, verdict }: Pick<AttemptSummary, "target" | "verdict">,
): void {
  if (target.backend.kind !== "provider" || verdict === "abandoned") return;
  book.outcome(verdict === "failed", () => {
    for (const { targets } of catalogue.list()) {
      if (targets.some((one) => one.backend.kind === "node" && one.canAccept())) return true;
    }
    return false;
  });
}

function audited({ store, clock }: ContingencyParts, changes: readonly ContingencyChange[]) {
  return store.audited({
    atMs: clock.nowMs(),
    actor: { kind: "gateway", id: null, name: "gateway", address: null },
    action: "contingency.change",
    subject: "contingency",
    before: null,
    after: changes,
  });
}
