import type { ResolvedConfig } from "../config/resolved.ts";
import { PosternError } from "../errors.ts";
import type { Prices } from "../usage/price.ts";
import type { OpenedAlerts } from "./alerts/open-alerts.ts";
import type { LiveCatalogue } from "./catalogue.ts";
import type { ReloadableSection } from "./config-reload.ts";
import type { OpenDrills } from "./drills/open-drills.ts";
import type { Edge } from "./edge.ts";
import type { Listeners } from "./listeners.ts";
import type { LivePlaces } from "./places.ts";

/** What takes over new settings. */
export interface ReloadParts {
  /** That of the running gateway: it holds the new values when a section is applied. */
  config: ResolvedConfig;
  places: LivePlaces;
  listeners: Pick<Listeners, "setEndpoints">;
  catalogue: Pick<LiveCatalogue, "setAliases" | "views">;
  prices: Prices;
  edge: Edge;
  alerts: Pick<OpenedAlerts, "reload">;
  drills: Pick<OpenDrills, "replan">;
}

/**
 * Every setting that a running gateway takes over. Whatever is not here needs a restart and is named so. A new section is a line:
 * its paths as they stand in the file, and what to do, if it is not read in its place each time.
 */
export function reloadableSections(parts: ReloadParts): ReloadableSection[] {
  const { config, places, listeners, catalogue, prices, edge, alerts, drills } = parts;
  return [
    {
      paths: ["endpoints", "access.rules"],
      async apply() {
        listeners.setEndpoints(config.endpoints);
        await places.reload();
      },
    },
    { paths: ["access.templates"] },
    { paths: ["models"], apply: () => retarget(catalogue, config.models) },
    { paths: ["prices"], apply: () => prices.replaceAll(config.prices) },
    { paths: ["alerts"], apply: () => alerts.reload(config.alerts) },
    { paths: ["gateway.cors"], apply: () => edge.setCors(config.gateway.cors) },
    { paths: ["continuity.drills"], apply: () => drills.replan() },
    { paths: ["storage.requestRetention", "storage.auditRetention"] },
    { paths: LIMITS.map((name) => `gateway.limits.${name}`) },
    { paths: TIMEOUTS.map((name) => `gateway.timeouts.${name}`) },
  ];
}

/**
 * Names stand for what the file says now.
 *
 * @throws PosternError `required_model` where a model that is required was served before and is not any more (S0-22); the names are
 *   as the file says then, and whoever called puts them back.
 */
export function retarget(catalogue: ReloadParts["catalogue"], models: ResolvedConfig["models"]): void {
  const served = new Set(catalogue.views().flatMap(({ name, ready }) => (ready ? [name] : [])));
  catalogue.setAliases(models);
  const lost = catalogue.views().filter(({ name, required, ready }) => required && !ready && served.has(name));
  if (lost.length === 0) return;
  throw new PosternError("required_model", {
    message: `The file would leave nobody who serves ${lost.map(({ name }) => `"${name}"`).join(", ")}, which it says is required`,
    hint: "Let another target serve it first, or take `required` away from it.",
  });
}

/** Those that are asked for each request; others are given to the listeners when they open. */
const LIMITS = [
  "body",
  "bodyRate",
  "headerCount",
  "jsonDepth",
  "jsonValues",
  "links",
  "requests",
  "requestsPerAddress",
  "requestsPerKey",
] as const;

const TIMEOUTS = [
  "betweenTokens",
  "drain",
  "firstToken",
  "firstTokenCold",
  "firstTokenColdPerGib",
  "hold",
  "keepAlive",
  "total",
] as const;
