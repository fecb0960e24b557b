import { readFileSync } from "node:fs";
import { resolve } from "node:path";

/** A stream as a real server wrote it, with the request that it answered. */
export interface RecordedStream {
  /** `ollama-0.17.4 chat-stream`. */
  title: string;
  kind: "ollama" | "llama-server";
  path: string;
  request: Record<string, unknown>;
  contentType: string;
  body: Buffer;
}

/** One record of a stream: an event with its data, or a line. */
export interface StreamRecord {
  event: string | null;
  data: string;
}

const RECORDINGS = [
  { file: "llama-server-b11549", kind: "llama-server" },
  { file: "ollama-0.17.4", kind: "ollama" },
] as const;

/** All streams of test/support/recordings. */
export function recordedStreams(): RecordedStream[] {
  return RECORDINGS.flatMap(({ file, kind }) => {
    const exchanges = readJson(`recordings/${file}.json`) as Record<string, Record<string, unknown> | string>;
    return Object.entries(exchanges).flatMap(([name, exchange]): RecordedStream[] => {
      if (typeof exchange === "string" || exchange["status"] !== 200) return [];
      const contentType = String(exchange["contentType"]);
      if (!/event-stream|ndjson/.test(contentType)) return [];
      return [
        {
          title: `${file} ${name}`,
          kind,
          path: String(exchange["path"]),
          request: exchange["request"] as Record<string, unknown>,
          contentType,
          body: Buffer.from(String(exchange["body"])),
        },
      ];
    });
  });
}

/** What the same server answers to an agent that looks at it: GETs by path. */
export function recordedIdentity(kind: RecordedStream["kind"]): Record<string, unknown> {
  const { file } = RECORDINGS.find((one) => one.kind === kind)!;
  return readJson(`../../src/engines/${kind}/__fixtures__/${file}.json`) as Record<string, unknown>;
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(resolve(import.meta.dirname, path), "utf8"));
}

/** Reads a whole stream without any of our own readers. Comments are left out. */
export function readRecords(contentType: string, text: string): StreamRecord[] {
  if (contentType.includes("ndjson")) {
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((data) => ({ event: null, data }));
  }
  return text
    .split(/\r?\n\r?\n/)
    .map((record) => {
      const lines = record.split(/\r?\n/);
      const value = (name: string) =>
        lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trimStart());
      return { event: value("event")[0] ?? null, data: value("data").join("\n") };
    })
    .filter(({ event, data }) => event !== null || data !== "");
}

/** What the transcript itself says was used; null where it says nothing. */
export function usageIn(
  path: string,
  records: readonly StreamRecord[],
): { tokensIn: number; tokensOut: number } | null {
  const values = records.filter(({ data }) => data.startsWith("{")).map(({ data }) => JSON.parse(data));
  if (path.startsWith("/api/")) {
    const last = values.at(-1);
    return last?.done === true ? { tokensIn: last.prompt_eval_count ?? 0, tokensOut: last.eval_count ?? 0 } : null;
  }
  if (path === "/v1/messages") {
    const usage: Record<string, number> = {};
    for (const value of values) Object.assign(usage, value.message?.usage, value.usage);
    const { input_tokens = 0, cache_read_input_tokens = 0, cache_creation_input_tokens = 0, output_tokens = 0 } = usage;
    return { tokensIn: input_tokens + cache_read_input_tokens + cache_creation_input_tokens, tokensOut: output_tokens };
  }
  const usage = values.map((value) => value.response?.usage ?? value.usage).findLast((one) => one != null);
  if (usage === undefined) return null;
  return {
    tokensIn: usage.input_tokens ?? usage.prompt_tokens,
    tokensOut: usage.output_tokens ?? usage.completion_tokens,
  };
}

/** Cuts bytes into pieces of 1 to `most` bytes, the same ones for the same seed (mulberry32). */
export function cutAtRandom(bytes: Buffer, most: number, seed: number): Buffer[] {
  const pieces: Buffer[] = [];
  let state = seed;
  for (let start = 0; start < bytes.length; ) {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    const end = start + 1 + (((mixed ^ (mixed >>> 14)) >>> 0) % most);
    pieces.push(bytes.subarray(start, end));
    start = end;
  }
  return pieces;
}
