import { readdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DataPlane, startDataPlane } from "../../test/support/data-plane.ts";
import type { PlayedAttempt, PlayedTarget } from "../../test/support/played-target.ts";
import { formatFor } from "../dialects/formats.ts";
import { operationById } from "../dialects/operations.ts";
import type { RequestClosed } from "../usage/record.ts";

// The check of the ledger: what real servers wrote is played as the engine, for a caller of every dialect, and the closed record
// has to say what the transcript says of itself. `ownUsage` reads the transcripts by other means than the product does.

/** One answer of an engine, and what was asked for it. */
interface Transcript {
  name: string;
  engineId: string;
  isStream: boolean;
  body: string;
  contentType: string;
  /** Of embeddings: as many as were asked for have to come. */
  input?: unknown;
}

interface Counts {
  tokensIn: number;
  tokensInCached: number;
  tokensOut: number;
  tokensReasoning: number | null;
}

const ROOT = new URL("../../", import.meta.url);
const ENGINE_IDS: Record<string, string> = {
  "/v1/chat/completions": "openai.chat",
  "/v1/completions": "openai.completions",
  "/v1/embeddings": "openai.embeddings",
  "/v1/responses": "openai.responses",
  "/v1/messages": "anthropic.messages",
  "/api/chat": "ollama.chat",
  "/api/generate": "ollama.generate",
  "/api/embed": "ollama.embed",
  "/api/embeddings": "ollama.embeddings",
};
const CALLER_IDS = Object.values(ENGINE_IDS);

interface Recorded {
  path: string;
  request: Record<string, unknown>;
  status: number;
  contentType: string;
  body: string;
}

function recordings(): Transcript[] {
  return ["llama-server-b11549", "ollama-0.17.4"].flatMap((server) => {
    const url = new URL(`test/support/recordings/${server}.json`, ROOT);
    const all = JSON.parse(readFileSync(url, "utf8")) as Record<string, Recorded | string>;
    return Object.entries(all).flatMap(([name, one]) => {
      const engineId = typeof one === "string" ? undefined : ENGINE_IDS[one.path];
      // Two choices are no conversation: other dialects cannot ask for them.
      if (typeof one === "string" || engineId === undefined || one.status !== 200 || "n" in one.request) return [];
      const isStream = !one.contentType.startsWith("application/json");
      const { body, contentType } = one;
      return [{ name: `${server} ${name}`, engineId, isStream, body, contentType, input: one.request["input"] }];
    });
  });
}

function fixtures(): Transcript[] {
  const folders: [string, string, string][] = [
    ["src/dialects/anthropic/__fixtures__/", ".sse", "text/event-stream"],
    ["src/dialects/ollama/__fixtures__/", ".ndjson", "application/x-ndjson"],
  ];
  return folders.flatMap(([folder, ending, contentType]) =>
    readdirSync(new URL(folder, ROOT))
      .filter((name) => name.endsWith(ending) && name !== "chat-error.ndjson")
      .map((name) => {
        const ollama = name.startsWith("generate") ? "ollama.generate" : "ollama.chat";
        const engineId = ending === ".sse" ? "anthropic.messages" : ollama;
        return {
          name,
          engineId,
          isStream: true,
          body: readFileSync(new URL(folder + name, ROOT), "utf8"),
          contentType,
        };
      }),
  );
}

const TRANSCRIPTS = [...recordings(), ...fixtures()];
const STREAMS = TRANSCRIPTS.filter(({ isStream }) => isStream);
const isLoad = ({ body }: Transcript) => /"done_reason":"(un)?load"/.test(body);

/** All JSON objects of a transcript, in order: of a whole answer, of lines, of events. */
function objects({ body }: Transcript): Record<string, unknown>[] {
  const lines = body.split(/\r?\n/).map((line) => line.replace(/^data: ?/, ""));
  return lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** What the engine itself says in the end; null where it says nothing that can be true. */
function ownUsage(transcript: Transcript): Counts | null {
  if (transcript.engineId.startsWith("ollama")) return ownOllamaUsage(transcript);
  const all: Record<string, number> = {};
  for (const object of objects(transcript)) {
    const holders = [object, object["message"], object["response"]] as ({ usage?: object | null } | undefined)[];
    for (const holder of holders) Object.assign(all, flatten(holder?.usage ?? {}));
    // llama-server says it this way too, and only this way where no usage was asked for.
    const { prompt_n, cache_n, predicted_n } = flatten((object["timings"] as object | undefined) ?? {});
    if (prompt_n === undefined) continue;
    all["prompt_tokens"] ??= prompt_n + (cache_n ?? 0);
    all["cached_tokens"] ??= cache_n ?? 0;
    all["completion_tokens"] = predicted_n ?? 0;
  }
  const read = all["cache_read_input_tokens"] ?? 0;
  const input = (all["input_tokens"] ?? 0) + read + (all["cache_creation_input_tokens"] ?? 0);
  const tokensIn = all["prompt_tokens"] ?? input;
  const tokensOut = all["completion_tokens"] ?? all["output_tokens"] ?? 0;
  if (tokensIn === 0) return null;
  const tokensReasoning = all["reasoning_tokens"] ?? all["thinking_tokens"] ?? null;
  return { tokensIn, tokensInCached: all["cached_tokens"] ?? read, tokensOut, tokensReasoning };
}

function ownOllamaUsage(transcript: Transcript): Counts | null {
  const last = objects(transcript).at(-1) as Record<string, number | undefined>;
  const tokensIn = last["prompt_eval_count"];
  if (tokensIn === undefined && !isLoad(transcript)) return null;
  return {
    tokensIn: tokensIn ?? 0,
    tokensInCached: last["prompt_eval_cached_count"] ?? 0,
    tokensOut: last["eval_count"] ?? 0,
    tokensReasoning: null,
  };
}

/** Numbers of an object and of the objects in it. */
function flatten(value: object): Record<string, number> {
  const flat: Record<string, number> = {};
  for (const [name, one] of Object.entries(value)) {
    if (typeof one === "number") flat[name] = one;
    else if (typeof one === "object" && one !== null) Object.assign(flat, flatten(one));
  }
  return flat;
}

/** The smallest request of an operation; of a load, where the transcript is one. */
function requestBody(callerId: string, transcript: Transcript): Record<string, unknown> {
  const { isStream, input } = transcript;
  const messages = isLoad(transcript) ? [] : [{ role: "user", content: "Hi" }];
  const stream = { stream: isStream };
  switch (callerId) {
    case "openai.completions":
      return { model: "m", prompt: "Hi", ...stream };
    case "openai.embeddings":
    case "ollama.embed":
      return { model: "m", input: input ?? "Hi" };
    case "ollama.embeddings":
      return { model: "m", prompt: "Hi" };
    case "openai.responses":
      return { model: "m", input: "Hi", ...stream };
    case "anthropic.messages":
      return { model: "m", max_tokens: 100, messages, ...stream };
    case "ollama.generate":
      return { model: "m", prompt: messages.length === 0 ? "" : "Hi", ...stream };
    default:
      return { model: "m", messages, ...stream };
  }
}

let plane: DataPlane;
beforeAll(async () => {
  plane = await startDataPlane();
});
afterAll(() => plane.close());

interface Call {
  attempt: PlayedAttempt;
  body: Record<string, unknown>;
  /** Resolves with the status once all of the answer has come, or the caller has left. */
  done: Promise<number>;
  leave(): void;
  /** Resolves when the caller has bytes of the answer. */
  heard: Promise<void>;
}

/** Sends a request as a caller would and takes the attempt that comes of it. */
async function call(callerId: string, transcript: Transcript, extra: Record<string, unknown> = {}): Promise<Call> {
  const [target] = plane.serve("m", "lab") as [PlayedTarget];
  target.operations = new Set([transcript.engineId]);
  const operation = operationById(callerId);
  if (operation === undefined) throw new TypeError(callerId);
  const body = { ...requestBody(callerId, transcript), ...extra };
  let leave = () => {};
  let heard = () => {};
  const whenHeard = new Promise<void>((resolve) => {
    heard = resolve;
  });
  const done = new Promise<number>((resolve) => {
    const headers = { authorization: `Bearer ${plane.key}`, "content-type": "application/json" };
    const options = {
      host: "127.0.0.1",
      port: plane.port,
      method: "POST",
      path: operation.path,
      headers,
      agent: false,
    };
    const sent = request(options, (answer) => {
      answer.on("data", heard).on("end", () => resolve(answer.statusCode ?? 0));
      answer.on("error", () => resolve(0));
    });
    sent.on("error", () => resolve(0)).end(JSON.stringify(body));
    leave = () => sent.destroy();
  });
  const attempt = await Promise.race([target.next(), done]);
  if (typeof attempt === "number") throw new Error(`${callerId} was answered ${attempt} without an attempt`);
  return { attempt, body, done, leave, heard: whenHeard };
}

/** Plays bytes in pieces that know nothing of records. */
function play({ handler }: PlayedAttempt, body: string, pieceBytes: number): void {
  const bytes = Buffer.from(body);
  for (let at = 0; at < bytes.length; at += pieceBytes) handler.onData(bytes.subarray(at, at + pieceBytes));
}

async function meter(callerId: string, transcript: Transcript): Promise<RequestClosed> {
  const { attempt, done } = await call(callerId, transcript);
  attempt.handler.onHead(200, { "content-type": transcript.contentType });
  play(attempt, transcript.body, transcript.body.length > 100_000 ? 16_384 : 37);
  attempt.handler.onEnd();
  expect(await done).toBe(200);
  return lastClosed();
}

function lastClosed(): RequestClosed {
  const closed = plane.closed.at(-1);
  if (closed === undefined) throw new Error("no record was closed");
  return closed;
}

/** Callers to whom the transcript can be told: its own dialect, and those that it can be translated to. */
function callersOf(transcript: Transcript): string[] {
  return CALLER_IDS.filter((callerId) => {
    if (callerId === transcript.engineId) return true;
    // A load is told as such only to its own clients, and a call of a tool has no word in `generate`.
    if (isLoad(transcript) || (callerId === "ollama.generate" && /tool/.test(transcript.body))) return false;
    // The older of Ollama's two embeds one text at a time.
    if (callerId === "ollama.embeddings" && Array.isArray(transcript.input)) return false;
    return formatFor(callerId, new Set([transcript.engineId])) !== null;
  });
}

const PAIRS = TRANSCRIPTS.flatMap((transcript) =>
  callersOf(transcript).map((callerId) => ({ name: transcript.name, callerId, transcript })),
);

test("there are transcripts of every dialect, and callers of every dialect for each conversation", () => {
  expect(new Set(TRANSCRIPTS.map(({ engineId }) => engineId))).toEqual(new Set(CALLER_IDS));
  expect(PAIRS.length).toBeGreaterThan(150);
  expect(TRANSCRIPTS.filter((one) => ownUsage(one)?.tokensInCached).length).toBeGreaterThan(8);
  expect(TRANSCRIPTS.filter((one) => ownUsage(one)?.tokensReasoning).length).toBeGreaterThan(0);
});

describe("a complete answer is metered as its engine says", () => {
  test.each(PAIRS)("$name, for a caller of $callerId", async ({ callerId, transcript }) => {
    const closed = await meter(callerId, transcript);
    const own = ownUsage(transcript);
    expect(closed).toMatchObject({ outcome: "ok", status: 200, isEstimated: own === null });
    if (own !== null) expect(closed).toMatchObject(own);
    // Where the engine said nothing that can be true, it is not free.
    else expect(closed.tokensIn).toBeGreaterThan(0);
    const isText = !/embed/.test(transcript.engineId) && !isLoad(transcript);
    if (isText) expect(closed.tokensOut).toBeGreaterThan(0);
  });
});

/** Members in which engines say what was used, under whichever name. */
const USAGE_NAMES = /"(usage|timings|prompt_eval_count|eval_count|prompt_eval_cached_count)"/g;

describe("an answer whose engine leaves its usage out is estimated and flagged, never free", () => {
  const silent = PAIRS.filter(({ transcript }) => !isLoad(transcript)).map(({ transcript, ...pair }) => ({
    ...pair,
    transcript: { ...transcript, body: transcript.body.replace(USAGE_NAMES, '"left_out_$1"') },
  }));
  test.each(silent)("$name, for a caller of $callerId", async ({ callerId, transcript }) => {
    const closed = await meter(callerId, transcript);
    expect(closed).toMatchObject({ outcome: "ok", isEstimated: true, tokensInCached: 0 });
    expect(closed.tokensIn).toBeGreaterThan(0);
    if (!/embed/.test(transcript.engineId)) expect(closed.tokensOut).toBeGreaterThan(0);
  });

  const zero = PAIRS.filter(({ transcript }) => !isLoad(transcript)).map(({ transcript, ...pair }) => ({
    ...pair,
    transcript: {
      ...transcript,
      body: transcript.body.replace(/("(?:\w+_tokens|prompt_eval_count|eval_count|\w+_n)": ?)\d+/g, "$10"),
    },
  }));
  test.each(zero)("$name of nothing but zeros, for a caller of $callerId", async ({ callerId, transcript }) => {
    const closed = await meter(callerId, transcript);
    expect(closed).toMatchObject({ outcome: "ok", isEstimated: true });
    expect(closed.tokensIn).toBeGreaterThan(0);
    if (!/embed/.test(transcript.engineId)) expect(closed.tokensOut).toBeGreaterThan(0);
  });
});

test.each(TRANSCRIPTS.filter(isLoad))("to load or unload a model is free: $name", async (transcript) => {
  const closed = await meter(transcript.engineId, transcript);
  expect(closed).toMatchObject({ tokensIn: 0, tokensOut: 0, isEstimated: false });
});

/** A stream's records with their ends. */
function records({ body }: Transcript): string[] {
  return body.split(/(?<=\n)(?=data:|event:|\{)/).reduce<string[]>((all, part) => {
    // `data:` belongs to the `event:` before it.
    if (part.startsWith("data:") && all.at(-1)?.startsWith("event:") && !all.at(-1)?.includes("\ndata:")) {
      all.push(all.pop() + part);
    } else all.push(part);
    return all;
  }, []);
}

/** Pieces of text, thought and arguments in a record. */
const SAID =
  /"(?:content|reasoning_content|thinking|text|response|delta|partial_json|arguments)":"(?!")[^"]|"tool_calls":\[\{/;

describe("a stream that its caller leaves is metered by what was sent", () => {
  const pairs = PAIRS.filter(({ transcript }) => STREAMS.includes(transcript) && !isLoad(transcript));
  test.each(pairs)("$name, for a caller of $callerId", async ({ callerId, transcript }) => {
    const all = records(transcript);
    const first = all.findIndex((record) => SAID.test(record));
    const sent = all.slice(0, Math.max(first + 1, Math.ceil(all.length / 2)));
    const { attempt, done, leave, heard } = await call(callerId, transcript);
    attempt.handler.onHead(200, { "content-type": transcript.contentType });
    play(attempt, sent.join(""), 37);
    await heard;
    leave();
    await attempt.whenCancelled;
    await done;
    const closed = lastClosed();
    expect(closed).toMatchObject({ outcome: "aborted", errorCode: null });
    expect(closed.tokensIn).toBeGreaterThan(0);
    // A record with text is at least a token, however the engine cuts them.
    expect(closed.tokensOut).toBeGreaterThan(0);
    const isToldByEngine = callerId === transcript.engineId && sent.at(-1)?.includes('"timings"');
    expect(closed.isEstimated).toBe(!isToldByEngine);
  });

  test("and where nothing was sent yet, by the prompt that the engine had", async () => {
    const [transcript] = STREAMS as [Transcript];
    const { attempt, done, leave, body } = await call(transcript.engineId, transcript);
    attempt.handler.onHead(200, { "content-type": transcript.contentType });
    leave();
    await attempt.whenCancelled;
    await done;
    const tokensIn = Math.ceil(JSON.stringify(body).length / 4);
    expect(lastClosed()).toMatchObject({ outcome: "aborted", tokensIn, tokensOut: 0, isEstimated: true });
  });

  const timed = STREAMS.find(({ name }) => name.endsWith("chat-stream-timings")) as Transcript;
  const counts = records(timed).map((record) => Number(/"predicted_n":(\d+)/.exec(record)?.[1] ?? 0));
  test.each([1, 2, 3, 5, 7])("llama-server's running counts are its word: left after %i tokens", async (tokens) => {
    const { attempt, done, leave, heard } = await call("openai.chat", timed, { timings_per_token: true });
    attempt.handler.onHead(200, { "content-type": timed.contentType });
    play(
      attempt,
      records(timed)
        .slice(0, counts.indexOf(tokens) + 1)
        .join(""),
      37,
    );
    await heard;
    leave();
    await attempt.whenCancelled;
    await done;
    const said = { tokensIn: 6, tokensInCached: 5, tokensOut: tokens, isEstimated: false };
    expect(lastClosed()).toMatchObject({ outcome: "aborted", ...said });
  });

  // Two tokens in one record, as under load: only the engine's own count knows.
  const usage = (out: number) => `"usage":{"prompt_tokens":31,"total_tokens":${31 + out},"completion_tokens":${out}}`;
  const chunk = (text: string, rest: string) =>
    `data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"${text}"},"finish_reason":null}]${rest}}\n\n`;
  const vllm: Transcript = { ...timed, body: "", name: "vllm" };

  test("vLLM's running usage is its word, where the caller asked for it", async () => {
    const asked = { stream_options: { include_usage: true, continuous_usage_stats: true } };
    const { attempt, done, leave, heard } = await call("openai.chat", vllm, asked);
    expect(String(attempt.request.body)).toContain('"continuous_usage_stats":true');
    attempt.handler.onHead(200, { "content-type": "text/event-stream" });
    for (const [text, out] of [
      ["", 0],
      ["a b", 2],
      [" c d", 4],
      [" e", 6],
    ] as const) {
      play(attempt, chunk(text, `,${usage(out)}`), 1000);
    }
    await heard;
    leave();
    await attempt.whenCancelled;
    await done;
    expect(lastClosed()).toMatchObject({ tokensIn: 31, tokensOut: 6, isEstimated: false });
  });

  test("what came after the engine's last count is counted on top of it, flagged", async () => {
    const { attempt, done, leave, heard } = await call("openai.chat", vllm);
    attempt.handler.onHead(200, { "content-type": "text/event-stream" });
    play(attempt, chunk("a b", `,${usage(2)}`) + chunk(" c", "") + chunk(" d", ""), 1000);
    await heard;
    leave();
    await attempt.whenCancelled;
    await done;
    expect(lastClosed()).toMatchObject({ tokensIn: 31, tokensOut: 4, isEstimated: true });
  });
});
