import { createHash, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import type { BudgetName, KeyPolicy } from "../access/policy.ts";
import { usageError } from "./invocation.ts";
import { readDuration, readMoment } from "./read-options.ts";

/** What the options below read. */
export interface PolicyOptions {
  policy?: string;
  model?: string[];
  endpoint?: string[];
  dialect?: string[];
  operation?: string[];
  mayLeave?: string;
  prefer?: string;
  fallback?: string;
  node?: string[];
  tag?: string[];
  provider?: string[];
  workflow?: string;
  address?: string[];
  clientCertificate?: string[];
  notBefore?: string;
  expires?: string;
  requestsPerMinute?: string;
  tokensPerMinute?: string;
  concurrency?: string;
  budget?: string[];
  mayPin?: boolean;
  capture?: string;
  captureFor?: string;
  shadow?: boolean;
}

/** Adds an option for each word of a policy. What is left out restricts nothing. */
export function addPolicyOptions(command: Command): Command {
  return command
    .option("--policy <file>", "policy as a JSON file; options count before it")
    .option("--model <glob...>", "models it may use (names or globs); left out: all")
    .option("--expires <duration>", 'time until it stops working, like "12h" or "90d"; left out: never')
    .option("--not-before <moment>", 'time from which it works, like "2026-12-01"')
    .option("--address <range...>", 'addresses it may come from, like "192.0.2.7" or "2001:db8::/32"')
    .option(
      "--client-certificate <file-or-hash...>",
      "client certificates that its callers must show: PEM files, or SHA-256 of their public keys",
    )
    .option("--requests-per-minute <n>", "requests in any minute")
    .option("--tokens-per-minute <n>", "tokens in any minute, input and output")
    .option("--concurrency <n>", "requests that run at one time")
    .option("--budget <budget...>", 'like "tokens/day=1000000" or "cost/month=20"; "SOFT:HARD" warns at SOFT')
    .option("--shadow", "report what limits would refuse, and refuse nothing")
    .option("--dialect <name...>", 'wire formats it may speak, like "openai-chat"')
    .option("--operation <id...>", 'operations it may use, like "openai.embeddings"')
    .option("--endpoint <name...>", "endpoints that take it")
    .option("--may-leave <yes|no>", "whether a request may leave your own machines")
    .option("--prefer <local|cloud|none>", "which side is tried first")
    .option("--fallback <automatic|approval|never>", "whether the other side may answer")
    .option("--node <glob...>", "only these nodes")
    .option("--tag <name...>", "only nodes with one of these tags")
    .option("--provider <glob...>", "only these providers")
    .option("--may-pin", "obey X-Postern-Node")
    .option("--capture <requests|answers|both>", "keep prompts, answers or both, where `storage.capture` allows it")
    .option("--capture-for <duration>", 'hours that they are kept, like "24h" or "7d" (default 24h)')
    .option("--workflow <label>", "label that groups keys");
}

/**
 * The words that the options say, the file's first. Whether they are allowed is for the gateway to say; here only text becomes
 * numbers and times.
 *
 * @throws PosternError `usage`.
 */
export function readPolicyOptions(options: PolicyOptions, nowMs: number): KeyPolicy {
  const words: Record<string, unknown> = options.policy === undefined ? {} : readFile(options.policy);
  const { node: nodes, tag: tags, provider: providers } = options;
  const hasTargets = nodes !== undefined || tags !== undefined || providers !== undefined;
  const said: Record<string, unknown> = {
    models: options.model,
    endpoints: options.endpoint,
    dialects: options.dialect,
    operations: options.operation,
    mayLeave: options.mayLeave,
    prefer: options.prefer,
    fallback: options.fallback,
    targets: hasTargets ? defined({ nodes, tags, providers }) : undefined,
    workflow: options.workflow,
    addresses: options.address,
    clientCertificates: options.clientCertificate?.map(readPin),
    notBeforeMs: options.notBefore === undefined ? undefined : readMoment("--not-before", options.notBefore, nowMs),
    expiresAtMs: options.expires === undefined ? undefined : nowMs + readDuration("--expires", options.expires),
    requestsPerMinute: readAmount("--requests-per-minute", options.requestsPerMinute),
    tokensPerMinute: readAmount("--tokens-per-minute", options.tokensPerMinute),
    concurrency: readAmount("--concurrency", options.concurrency),
    budgets: options.budget === undefined ? undefined : Object.fromEntries(options.budget.map(readBudget)),
    capture: readCapture(options),
    mayPin: options.mayPin,
    shadow: options.shadow,
  };
  // The gateway reads it with the schema, and says what is wrong with it and where.
  return { version: 1, ...words, ...defined(said) } as KeyPolicy;
}

function defined(words: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(words).filter(([, value]) => value !== undefined));
}

function readFile(path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readFileSync(path === "-" ? 0 : path, "utf8"));
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  } catch (cause) {
    throw usageError(`--policy: cannot read ${JSON.stringify(path)} as JSON: ${String(cause)}`);
  }
  throw usageError(`--policy: ${JSON.stringify(path)} must hold a JSON object`);
}

function readAmount(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,12}$/.test(text)) throw usageError(`${flag} must be a whole number, got ${JSON.stringify(text)}`);
  return Number(text);
}

/** The hash of a certificate's public key, or that hash itself. */
function readPin(text: string): string {
  if (/^[0-9a-f]{64}$/i.test(text)) return text.toLowerCase();
  try {
    const { publicKey } = new X509Certificate(readFileSync(text));
    return createHash("sha256")
      .update(publicKey.export({ type: "spki", format: "der" }))
      .digest("hex");
  } catch (cause) {
    throw usageError(`--client-certificate: cannot read a certificate from ${JSON.stringify(text)}: ${String(cause)}`);
  }
}

function readCapture({ capture, captureFor }: PolicyOptions) {
  if (capture === undefined) {
    if (captureFor !== undefined) throw usageError("--capture-for needs --capture");
    return undefined;
  }
  if (!["requests", "answers", "both"].includes(capture)) {
    throw usageError(`--capture must be requests, answers or both, got ${JSON.stringify(capture)}`);
  }
  const retentionHours = Math.ceil(readDuration("--capture-for", captureFor ?? "24h") / 3_600_000);
  return {
    ...(capture === "answers" ? {} : { requests: true }),
    ...(capture === "requests" ? {} : { answers: true }),
    retentionHours,
  };
}

const BUDGETS: Record<string, BudgetName> = {
  "tokens/day": "tokensPerDay",
  "tokens/month": "tokensPerMonth",
  "cost/day": "costMicrosPerDay",
  "cost/month": "costMicrosPerMonth",
};
const BUDGET = /^(tokens|cost)\/(day|month)=(?:(\d{1,9}(?:\.\d{1,6})?):)?(\d{1,12}(?:\.\d{1,6})?)?$/;

/** Tokens are whole numbers, money is in dollars. `SOFT:HARD`, `SOFT:` or `HARD`. */
function readBudget(text: string): [BudgetName, { soft?: number; hard?: number }] {
  const [, what, period, soft, hard] = BUDGET.exec(text) ?? [];
  const name = BUDGETS[`${what}/${period}`];
  const isWhole = what === "cost" || !/\./.test(text);
  if (name === undefined || (soft === undefined && hard === undefined) || !isWhole) {
    throw usageError(
      `--budget must be like "tokens/day=1000000" or "cost/month=15:20" (dollars, warn at 15), got ${JSON.stringify(text)}`,
    );
  }
  const unit = what === "cost" ? 1_000_000 : 1;
  return [
    name,
    {
      ...(soft === undefined ? {} : { soft: Math.round(Number(soft) * unit) }),
      ...(hard === undefined ? {} : { hard: Math.round(Number(hard) * unit) }),
    },
  ];
}
