import type { Dispatcher } from "undici";
import type { AcmeConfig } from "../../config/resolved.ts";
import type { Challenges, PemPair } from "./challenges.ts";

/** Longest that a whole order may take. */
const ORDER_LIMIT_MS = 10 * 60_000;
const ANSWER_LIMIT_MS = 30_000;
const MAX_ANSWER_BYTES = 1024 * 1024;
/** How often the authority is asked whether it is done, and with what pauses. */
const POLL = { backoffAttempts: 15, backoffMin: 1_000, backoffMax: 15_000 };

export interface OrderParts {
  config: AcmeConfig;
  /** PEM. The account is made with it on first use. */
  accountKey: Buffer;
  /** PEM text of `config.caFile`. */
  ca: Buffer | null;
  challenges: Challenges;
  /** Gives the order up. */
  signal: AbortSignal;
}

/**
 * Orders a certificate for all domains and answers the authority's questions meanwhile. Never tries again by itself.
 *
 * Rejects with an Error whose message is the authority's own words where there are any.
 */
export async function orderCertificate(parts: OrderParts): Promise<PemPair> {
  const { config, challenges } = parts;
  const deadline = AbortSignal.any([parts.signal, AbortSignal.timeout(ORDER_LIMIT_MS)]);
  // Only here: it brings an HTTP client and a certificate library along, which are needed some minutes in a year.
  const { Client, axios, crypto } = await import("acme-client");
  const { Agent, request } = await import("undici");
  const dispatcher = new Agent({
    connect: { timeout: ANSWER_LIMIT_MS, ...(parts.ca === null ? {} : { ca: parts.ca }) },
    headersTimeout: ANSWER_LIMIT_MS,
    bodyTimeout: ANSWER_LIMIT_MS,
  });
  // Trying again is ours, with pauses that authorities allow.
  Object.assign(axios.defaults, { acmeSettings: { retryMaxAttempts: 0, retryDefaultDelay: 1 } });
  // Its own way to the network says "Cannot read properties of undefined" when there is none (5.4.0, src/axios.js), follows
  // redirects and reads without bound.
  axios.defaults.adapter = async (config) => {
    const { statusCode, headers, body } = await request(config.url ?? "", {
      method: (config.method ?? "get").toUpperCase() as Dispatcher.HttpMethod,
      headers: { ...config.headers },
      body: typeof config.data === "string" ? config.data : null,
      dispatcher,
      signal: deadline,
    });
    const data = await readText(body);
    return { data, status: statusCode, statusText: "", headers: flat(headers), config };
  };
  const client = new Client({ directoryUrl: config.directory, accountKey: parts.accountKey, ...POLL });
  const [key, csr] = await crypto.createCsr(
    { commonName: config.domains[0] ?? "", altNames: [...config.domains] },
    await crypto.createPrivateEcdsaKey("P-256"),
  );
  const order = client.auto({
    csr,
    ...(config.email === null ? {} : { email: config.email }),
    termsOfServiceAgreed: true,
    // From within, one's own public name often cannot be reached. The authority says what it could not.
    skipChallengeVerification: true,
    challengePriority: [config.challenge],
    async challengeCreateFn(authorization, challenge, keyAuthorization) {
      const domain = authorization.identifier.value;
      if (challenge.type !== config.challenge) {
        throw new Error(`the authority does not offer ${config.challenge} for ${domain}`);
      }
      if (challenge.type === "http-01") return challenges.publishText(challenge.token, keyAuthorization);
      const proofKey = await crypto.createPrivateEcdsaKey("P-256");
      const [, cert] = await crypto.createAlpnCertificate(authorization, keyAuthorization, proofKey);
      challenges.publishCertificate(domain, { cert, key: proofKey });
    },
    async challengeRemoveFn(authorization, challenge) {
      if (challenge.type === "http-01") challenges.withdrawText(challenge.token);
      else challenges.withdrawCertificate(authorization.identifier.value);
    },
  });
  try {
    return { cert: await Promise.race([order, rejectWhen(deadline)]), key };
  } finally {
    await dispatcher.destroy();
  }
}

async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new Error("the authority's answer is too long");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function flat(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  const entries = Object.entries(headers).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    entries.map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : String(value)]),
  );
}

/** Between two questions the client sleeps and looks at no signal. */
function rejectWhen(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const refuse = () => reject(new Error("the authority was not done in time"));
    if (signal.aborted) refuse();
    else signal.addEventListener("abort", refuse, { once: true });
  });
}
