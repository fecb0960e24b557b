import { Pool } from "undici";
import { type Clock, systemClock } from "../lib/clock.ts";
import type { Secret } from "../lib/secret.ts";
import type { EngineProbe, ProbeAnswer } from "./engine.ts";
import { basePath } from "./engine-url.ts";
import { type TlsTrust, tlsConnector } from "./tls-trust.ts";

/** Most bytes of one answer to a probe. A list of a thousand models fits. */
export const MAX_PROBE_BYTES = 2 * 1024 * 1024;

/** Longest wait for one whole answer to a probe. Health and list endpoints answer from memory. */
const PROBE_TIMEOUT_MS = 2_000;

export interface ProbeOptions extends TlsTrust {
  url: URL;
  /** Value of the `Host` header. */
  host: string;
  /** Sent as `Authorization: Bearer`; null for none. */
  apiKey: Secret | null;
  /** Further headers, names in lower case. Default none. */
  headers?: ReadonlyArray<readonly [name: string, value: Secret]>;
  /** For one whole answer. Default 2 s. */
  timeoutMs?: number;
  clock?: Clock;
  /** Ends the reads under way and refuses new ones. */
  signal?: AbortSignal;
}

/** A probe that holds a connection. `close` ends what runs; further reads reject. */
export interface OpenProbe extends EngineProbe {
  close(): Promise<void>;
}

/**
 * Opens a bounded reader of one engine: GET only, at most `MAX_PROBE_BYTES`, a deadline, no redirect followed.
 *
 * Connects on the first read. A read rejects when the engine cannot be reached in time or says too much.
 */
export function openProbe(options: ProbeOptions): OpenProbe {
  const clock = options.clock ?? systemClock;
  const timeoutMs = options.timeoutMs ?? PROBE_TIMEOUT_MS;
  const prefix = basePath(options.url);
  const pool = new Pool(options.url.origin, {
    connections: 2,
    headersTimeout: 0,
    bodyTimeout: 0,
    allowH2: false,
    connect: tlsConnector(options.url, options, timeoutMs),
  });
  const headers: Record<string, string> = { host: options.host, accept: "application/json", "user-agent": "postern" };
  if (options.apiKey !== null) headers["authorization"] = `Bearer ${options.apiKey.reveal()}`;
  for (const [name, value] of options.headers ?? []) headers[name] = value.reveal();

  async function get(path: string): Promise<ProbeAnswer> {
    const giveUp = new AbortController();
    const timer = clock.after(timeoutMs, () => giveUp.abort(new Error(`no whole answer in ${timeoutMs} ms`)));
    const signal = options.signal === undefined ? giveUp.signal : AbortSignal.any([giveUp.signal, options.signal]);
    try {
      const answer = await pool.request({ method: "GET", path: prefix + path, headers, signal });
      const text = await readBounded(answer.body);
      return { status: answer.statusCode, headers: flatten(answer.headers), text, json: () => parse(text) };
    } finally {
      timer.cancel();
    }
  }

  return { get, close: () => pool.destroy() };
}

async function readBounded(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > MAX_PROBE_BYTES) throw new Error(`the answer is longer than ${MAX_PROBE_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function flatten(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  const flat: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) flat[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return flat;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
