import type { LiveDrills } from "../../admin/live-drills.ts";
import type { ResolvedConfig } from "../../config/resolved.ts";
import type { Finding } from "../../continuity/alerts/alert-book.ts";
import type { ContingencyBook } from "../../continuity/contingency-book.ts";
import type { AlertEvidence } from "../../continuity/drill/record.ts";
import { toPosternError } from "../../errors.ts";
import type { Closers } from "../../lib/closers.ts";
import type { RequestSummary } from "../../proxy/observer.ts";
import type { Pipeline } from "../../proxy/pipeline.ts";
import type { AlertStore } from "../../storage/alert-store.ts";
import type { Journal } from "../../storage/journal.ts";
import type { LiveCatalogue } from "../catalogue.ts";
import type { DrillParts, DrillStores } from "./drill-parts.ts";
import { Drills } from "./drills.ts";
import { nftBlock } from "./nft-block.ts";
import { DrillScheduler } from "./scheduler.ts";

/** Alerts of one drill that are looked at. */
const MAX_ALERTS = 100;

/** Drills of a gateway, for its composition root. */
export interface OpenDrills {
  live: LiveDrills;
  seen(summary: RequestSummary): void;
  breakerChanged(targetId: string, to: string): void;
  /** Plans that should have run, for alerts. */
  overdue(): Finding[];
  /** The plans of the configuration have changed. A drill that runs goes on as it was planned. */
  replan(): Promise<void>;
  /** Ends what the last process left, and begins to keep the schedule. Call it when requests can be served. */
  begin(): Promise<void>;
}

/** What the composition root has that drills need. */
export interface OpenDrillsParts extends Pick<DrillParts, "clock" | "log" | "newId" | "faults" | "keyring" | "places"> {
  store: DrillStores & { alerts: Pick<AlertStore, "list"> };
  config: ResolvedConfig;
  closers: Closers;
  catalogue: LiveCatalogue;
  contingency: Pick<ContingencyBook, "view">;
  journal: Journal;
  pipeline: Pipeline;
  /** Hands over the summaries that wait. */
  flush(): void;
}

/** Makes the drills of a gateway, which know what there was before. Rejects with `store_*` codes. They are ended, their block first, when the closers close. */
export async function openDrills(options: OpenDrillsParts): Promise<OpenDrills> {
  const { config, closers, log } = options;
  const parts = partsOf(options);
  const drills = new Drills(parts);
  const scheduler = new DrillScheduler({ ...parts, drills, plans: () => config.continuity.drills });
  await scheduler.load();
  closers.add(() => drills.stop());
  closers.add(() => scheduler.stop());
  return {
    live: {
      get running() {
        return drills.running;
      },
      start: (plan, options) => drills.start(plan, options),
      abort: (id, reason) => drills.abort(id, reason),
      note: (id, note) => drills.note(id, note),
      states: () => scheduler.states(),
    },
    seen: (summary) => drills.seen(summary),
    breakerChanged: (targetId, to) => drills.breakerChanged(targetId, to),
    overdue: () =>
      scheduler.states().flatMap(({ plan: { name, owner }, overdueSinceMs }) =>
        overdueSinceMs === null
          ? []
          : [
              {
                rule: "drill-overdue",
                key: name,
                summary: `The drill "${name}" should have run on ${new Date(overdueSinceMs).toISOString().slice(0, 10)}${owner === null ? "" : ` (owner: ${owner})`}`,
                labels: { plan: name },
              },
            ],
      ),
    replan: () => scheduler.replan(),
    begin: () =>
      scheduler.start().catch((error: unknown) => {
        log.error({ error: toPosternError(error).message }, "drills are not scheduled");
      }),
  };
}

function partsOf({
  config,
  catalogue,
  contingency,
  journal,
  pipeline,
  flush,
  store,
  ...same
}: OpenDrillsParts): DrillParts {
  return {
    ...same,
    store,
    catalogue,
    targets: () => catalogue.targets(),
    urls: urlsOf(config),
    handle: (request, response, origin) => pipeline.handle(request, response, origin),
    async settleUsage() {
      flush();
      await journal.drain().catch(() => {});
    },
    storeTrouble: () => journal.health().reason,
    contingency() {
      const cause = contingency.view().flatMap(({ state, causes }) => (state === "contingency" ? causes : []))[0];
      return cause?.reason ?? null;
    },
    alertsSince: (sinceMs) => (config.alerts.channels.length === 0 ? null : readAlerts(store.alerts, sinceMs)),
    system: nftBlock(),
  };
}

/** Alerts that fired from then on, with who was told. */
async function readAlerts(store: Pick<AlertStore, "list">, sinceMs: number): Promise<AlertEvidence[]> {
  const found = await store.list({ rule: null, sinceMs, before: null, limit: MAX_ALERTS });
  return found.toReversed().map(({ rule, summary, severity, firedAtMs, resolvedAtMs, deliveries }) => ({
    rule,
    summary,
    severity,
    raisedAtMs: firedAtMs,
    resolvedAtMs,
    deliveries: deliveries.map(({ channel, atMs, isDelivered }) => ({ channel, atMs, ok: isDelivered })),
  }));
}

/** Where providers and nodes without an agent are reached, by label. */
function urlsOf({ providers, nodes }: ResolvedConfig): ReadonlyMap<string, string> {
  return new Map([
    ...providers.map(({ name, baseUrl }) => [`provider/${name}`, baseUrl] as const),
    ...nodes.map(({ name, url }) => [`node/${name}`, url] as const),
  ]);
}
