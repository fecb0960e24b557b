import { setImmediate } from "node:timers/promises";
import type { Logger } from "pino";
import { ambientRisk } from "../access/address-rule.ts";
import { findTwin } from "../access/endpoint.ts";
import type { Keyring } from "../access/keyring.ts";
import { Places } from "../access/places.ts";
import { publicHostOf } from "../config/load.ts";
import { refuseTwice } from "../config/refuse-twice.ts";
import type { ResolvedConfig } from "../config/resolved.ts";
import { PosternError } from "../errors.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import type { Store } from "../storage/store.ts";

/** Longest time after which a rule that has expired is noticed although the wall clock jumped. */
const LOOK_AGAIN_MS = 60_000;

export interface PlacesParts {
  config: ResolvedConfig;
  store: Store;
  keyring: Keyring;
  clock: Clock;
  log: Logger;
}

/** Places of a running gateway, kept in step with the store. */
export interface LivePlaces {
  places: Places;
  /** Reads the store again, applies what it says and ends what runs against it. Resolves with the number of requests ended. */
  reload(): Promise<number>;
  /** From now on whatever a changed or expired rule no longer lets in is ended by `end`, which says how many that were. */
  watch(end: () => number): void;
  stop(): void;
}

/**
 * Endpoints and rules of file and store together.
 *
 * Rejects with `config_invalid` where a name or a place is taken twice, and with `store_*` codes.
 */
export async function openPlaces(parts: PlacesParts): Promise<LivePlaces> {
  const { config, keyring, clock, log } = parts;
  const places = new Places(publicHostOf(config), keyring);
  let end: () => number = () => 0;
  let timer: Timer | null = null;
  let isStopped = false;

  function endDenied(why: string): number {
    const ended = end();
    if (ended > 0) log.info({ ended }, why);
    return ended;
  }
  function arm(): void {
    timer?.cancel();
    const waitMs = places.rules.nextExpiryMs - clock.nowMs();
    if (isStopped || waitMs === Number.POSITIVE_INFINITY) return;
    timer = clock.after(Math.min(Math.max(waitMs, 0), LOOK_AGAIN_MS), () => {
      if (places.rules.nextExpiryMs > clock.nowMs()) return arm();
      // The rule matches nothing any more already; what it let in ends, and the others are compiled without it.
      endDenied("requests ended: a rule about their address has expired");
      compileAgain().then(arm, (error: unknown) => log.warn({ error: String(error) }, "rules not compiled again"));
    });
  }
  function compileAgain(): Promise<void> {
    return inOrder(() => places.replaceInTurns(places.endpoints.list(), places.rules.rules, clock.nowMs(), nextTurn));
  }
  // One after the other, so that an older state never comes after a newer one.
  let last: Promise<unknown> = Promise.resolve();
  function inOrder(task: () => Promise<void>): Promise<void> {
    const mine = last.then(task);
    last = mine.catch(() => {});
    return mine;
  }
  function load(): Promise<void> {
    return inOrder(async () => {
      const { endpoints, rules } = await readPlaces(parts);
      await places.replaceInTurns(endpoints, rules, clock.nowMs(), nextTurn);
      arm();
    });
  }

  await load();
  warn(places, log, clock.nowMs());
  return {
    places,
    async reload() {
      await load();
      return endDenied("requests ended: a rule about their address has changed");
    },
    watch: (ending) => {
      end = ending;
    },
    stop() {
      isStopped = true;
      timer?.cancel();
    },
  };
}

function nextTurn(): Promise<void> {
  return setImmediate();
}

async function readPlaces({ config, store }: Pick<PlacesParts, "config" | "store">) {
  const [storedEndpoints, storedRules] = await Promise.all([store.places.endpoints(), store.places.rules()]);
  refuseTwice("endpoint", config.endpoints, storedEndpoints);
  refuseTwice("rule", config.access.rules, storedRules);
  const endpoints = [...config.endpoints, ...storedEndpoints];
  for (const one of config.endpoints) {
    const twin = findTwin(one, endpoints);
    if (twin !== null) {
      throw new PosternError("config_invalid", {
        message: `Cannot load the configuration: ${one.place}: the endpoint "${one.name}" is at the same host and path as "${twin}"`,
        hint: "Give one of them another host or path. `postern endpoints list` shows both.",
      });
    }
  }
  const known = new Set(["default", ...endpoints.map(({ name }) => name)]);
  const lost = config.access.rules.find(({ endpoint }) => endpoint !== null && !known.has(endpoint));
  if (lost !== undefined) {
    throw new PosternError("config_invalid", {
      message: `Cannot load the configuration: ${lost.place}: the rule "${lost.name}" is about the endpoint "${lost.endpoint}", which does not exist`,
      hint: "Define it under `endpoints`, or make it with `postern endpoints create`.",
    });
  }
  return { endpoints, rules: [...config.access.rules, ...storedRules] };
}

/** What works and is still worth a second thought. */
function warn(places: Places, log: Logger, nowMs: number): void {
  for (const rule of places.rules.rules) {
    if (rule.effect !== "ambient") continue;
    const risk = ambientRisk(rule.range);
    if (risk !== null) log.warn({ rule: rule.name, range: rule.range }, `the ambient range ${risk}`);
    const { failure } = places.ambient.keyOf(rule, nowMs);
    if (failure !== null)
      log.warn({ rule: rule.name, reason: failure }, "the ambient range stands for no key that works");
  }
  for (const rule of places.rules.rules) {
    if (rule.endpoint !== null && places.endpoints.get(rule.endpoint) === undefined) {
      log.warn({ rule: rule.name, endpoint: rule.endpoint }, "the rule is about an endpoint that does not exist");
    }
  }
}
