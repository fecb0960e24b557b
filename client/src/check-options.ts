import { FailoverError } from "./failover-error.ts";
import { CREDENTIAL_HEADERS } from "./header-names.ts";
import { FAILOVER_BASE_URL, type FailoverOptions, type FailoverTarget, type TargetTimes } from "./options.ts";

/** A target whose options were checked, with every default filled in. */
export interface CheckedTarget {
  name: string;
  /** Without a slash at its end. */
  baseUrl: string;
  isOwn: boolean;
  readKey: (() => string) | null;
  auth: "bearer" | "x-api-key" | null;
  headers: ReadonlyMap<string, string>;
  models: ReadonlyMap<string, string>;
  times: TargetTimes;
}

const CALLER_BASE_URLS = [FAILOVER_BASE_URL, "https://api.openai.com/v1", "https://api.anthropic.com"];
/** Most targets; bounds the attempts of one request. */
const MAX_TARGETS = 16;
/** Longest time that a timer can be trusted with: one day. */
const MAX_TIME_MS = 86_400_000;
const TIMES: Record<FailoverTarget["locality"], TargetTimes> = {
  cloud: { firstTokenMs: 15_000, idleMs: 60_000, totalMs: 60_000, streamTotalMs: 3_600_000 },
  own: { firstTokenMs: 60_000, idleMs: 120_000, totalMs: 300_000, streamTotalMs: 3_600_000 },
};
const NAME = /^[A-Za-z0-9._-]{1,64}$/;
const HEADER_NAME = /^[A-Za-z0-9-]{1,64}$/;
/** What may stand in a header; a key with anything else would end up in the platform's own error message. */
const HEADER_VALUE = /^[\x20-\x7e]*$/;
const LOOPBACK = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/** Whether a key can be sent: visible ASCII, at least one character. */
export function isSendableKey(key: unknown): key is string {
  return typeof key === "string" && /^[\x21-\x7e]{1,4096}$/.test(key);
}

/**
 * Reads the options of a failover fetch.
 *
 * @throws FailoverError `bad_options` with every fault in its message; never with a key or the value of a header.
 */
export function checkOptions(options: FailoverOptions): { targets: CheckedTarget[]; callerBaseUrls: string[] } {
  const faults: string[] = [];
  const { targets } = options;
  if (targets.length === 0 || targets.length > MAX_TARGETS) {
    faults.push(`"targets" must be 1 to ${MAX_TARGETS}, got ${targets.length}`);
  }
  if (new Set(targets.map(({ name }) => name)).size !== targets.length)
    faults.push(`"targets" must have different names`);
  for (const name of options.forwardHeaders ?? []) {
    if (!HEADER_NAME.test(name)) faults.push(`"forwardHeaders" must be names of headers`);
    else if (CREDENTIAL_HEADERS.includes(name.toLowerCase())) faults.push(`"forwardHeaders" must not have "${name}"`);
  }
  const callerBaseUrls = (options.callerBaseUrls ?? CALLER_BASE_URLS).map((url) =>
    checkUrl("callerBaseUrls", url, faults),
  );
  const checked = targets.map((target, index) => checkTarget(target, `targets[${index}]`, faults));
  if (faults.length > 0)
    throw new FailoverError("bad_options", `Cannot use the failover options: ${faults.join("; ")}`);
  return { targets: checked, callerBaseUrls };
}

function checkTarget(target: FailoverTarget, at: string, faults: string[]): CheckedTarget {
  const { name, locality, apiKey, auth = null, headers = {}, models = {}, times = {} } = target;
  if (!NAME.test(name)) faults.push(`"${at}.name" must be 1 to 64 letters, digits, ".", "_" or "-"`);
  // Checked also for callers without types: what is not clearly one's own must not pass for it.
  if (locality !== "own" && locality !== "cloud") faults.push(`"${at}.locality" must be "own" or "cloud"`);
  if (auth !== null && auth !== "bearer" && auth !== "x-api-key")
    faults.push(`"${at}.auth" must be "bearer" or "x-api-key"`);
  const baseUrl = checkUrl(`${at}.baseUrl`, target.baseUrl, faults);
  if (locality === "cloud" && baseUrl.startsWith("http:") && !LOOPBACK.test(new URL(baseUrl).hostname)) {
    faults.push(`"${at}.baseUrl" of a cloud target must be https`);
  }
  if (apiKey !== undefined && typeof apiKey !== "function" && !isSendableKey(apiKey)) {
    faults.push(`"${at}.apiKey" must be visible ASCII without spaces, or a function`);
  }
  for (const [header, value] of Object.entries(headers)) {
    if (!HEADER_NAME.test(header) || !HEADER_VALUE.test(value))
      faults.push(`"${at}.headers" has one that cannot be sent`);
  }
  for (const [key, value] of Object.entries(times)) {
    if (!(key in TIMES.own)) faults.push(`"${at}.times.${key}" is not a time`);
    else if (!(value >= 1 && value <= MAX_TIME_MS))
      faults.push(`"${at}.times.${key}" must be 1 to ${MAX_TIME_MS}, got ${value}`);
  }
  return {
    name,
    baseUrl,
    isOwn: locality === "own",
    readKey: apiKey === undefined ? null : typeof apiKey === "function" ? apiKey : () => apiKey,
    auth,
    headers: new Map(Object.entries(headers)),
    models: new Map(Object.entries(models)),
    times: { ...(TIMES[locality] ?? TIMES.cloud), ...times },
  };
}

/** The URL without a slash at its end. Neither credentials nor a query: both would show up where URLs are shown. */
function checkUrl(at: string, text: string, faults: string[]): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  const isPlain = url !== null && url.username === "" && url.password === "" && url.search === "" && url.hash === "";
  if (!isPlain || !/^https?:$/.test(url.protocol)) {
    faults.push(`"${at}" must be an http or https URL without credentials, query and fragment`);
    return FAILOVER_BASE_URL;
  }
  return url.href.replace(/\/+$/, "");
}
