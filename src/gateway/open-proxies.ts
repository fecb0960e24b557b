import type { Logger } from "pino";
import { CLOUDFLARE_RANGES, CLOUDFLARE_RANGES_DATE } from "../access/cloudflare-ranges.ts";
import type { TrustedProxyConfig } from "../config/resolved.ts";
import type { Clock } from "../lib/clock.ts";
import type { Closers } from "../lib/closers.ts";
import { checkAssertion } from "./access-jwt.ts";
import { AccessKeys, fetchKeys, readKeyFile } from "./access-keys.ts";
import { type AccessCheck, TrustedProxies } from "./trusted-proxies.ts";

/** Age of the ranges that come with this version from which on they are worth a look. */
const OLD_MS = 365 * 24 * 3_600_000;

export interface ProxiesParts {
  configs: readonly TrustedProxyConfig[];
  clock: Clock;
  log: Logger;
  closers: Closers;
}

/**
 * The declared proxies, with the keys of the Access teams that some of them need. Keys in files have been read when it resolves;
 * fetched ones come later, and until then requests that need them are refused.
 */
export async function openProxies({ configs, clock, log, closers }: ProxiesParts): Promise<TrustedProxies> {
  const isCloudflare = configs.some(({ ranges }) => CLOUDFLARE_RANGES.every((range) => ranges.includes(range)));
  if (isCloudflare && clock.nowMs() - Date.parse(CLOUDFLARE_RANGES_DATE) > OLD_MS) {
    log.warn(
      { asOf: CLOUDFLARE_RANGES_DATE },
      "Cloudflare's ranges in this version are old: compare them, or name them yourself",
    );
  }
  const checks = new Map<TrustedProxyConfig, AccessCheck>();
  for (const config of configs) {
    if (config.access === null) continue;
    const { team, audience, keysFile } = config.access;
    const keys = new AccessKeys({
      load: () => (keysFile === null ? fetchKeys(`https://${team}/cdn-cgi/access/certs`) : readKeyFile(keysFile)),
      clock,
      onFailure: (error) => log.warn({ team, error: String(error) }, "the keys of Cloudflare Access could not be read"),
    });
    closers.add(() => keys.stop());
    const first = keys.start();
    if (keysFile !== null) await first;
    const expected = { issuer: `https://${team}`, audience };
    checks.set(config, (assertion) => checkAssertion(assertion, expected, (kid) => keys.find(kid), clock.nowMs()));
  }
  return new TrustedProxies(configs, (config) => checks.get(config) ?? null);
}
