import fc from "fast-check";
import OpenAI, { toFile } from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DataPlane, startDataPlane } from "../../test/support/data-plane.ts";
import type { PlayedAttempt, PlayedTarget } from "../../test/support/played-target.ts";
import { parseForm, readBoundary } from "../lib/multipart.ts";

// Transcription through the data plane: OpenAI's own client in front, a played engine behind. What the engine got is read with
// Node's own form reader, which is none of ours.

const AUDIO = Buffer.from([
  0x52,
  0x49,
  0x46,
  0x46,
  0,
  13,
  10,
  45,
  45,
  0xff,
  0xfe,
  ...Array.from({ length: 3989 }, (_, at) => at % 251),
]);

let plane: DataPlane;
let target: PlayedTarget;
let client: OpenAI;
beforeAll(async () => {
  plane = await startDataPlane({ optedIn: ["openai.transcriptions"] });
  target = plane.serve("whisper", "forge")[0] as PlayedTarget;
  target.operations = new Set(["openai.transcriptions"]);
  client = new OpenAI({ apiKey: plane.key, baseURL: `http://127.0.0.1:${plane.port}/v1`, maxRetries: 0 });
});
afterAll(() => plane.close());

const speech = (name = "C:\\Users\\ann\\secret plans.WAV") => toFile(AUDIO, name, { type: "audio/x-own" });

async function readForm({ request }: PlayedAttempt): Promise<FormData> {
  const body = new Uint8Array(request.body ?? Buffer.alloc(0));
  return new Response(body, { headers: { "content-type": request.headers["content-type"] ?? "" } }).formData();
}

function answer({ handler }: PlayedAttempt, contentType: string, body: string): void {
  handler.onHead(200, { "content-type": contentType });
  handler.onData(Buffer.from(body));
  handler.onEnd();
}

const lastClosed = () => plane.closed.at(-1);

describe("a transcription", () => {
  test("reaches the engine as a form of our own, and the client as its text", async () => {
    const transcribing = client.audio.transcriptions.create({
      model: "whisper",
      file: await speech(),
      language: "de",
      prompt: "Größe",
      temperature: 0.2,
      response_format: "verbose_json",
      timestamp_granularities: ["word", "segment"],
    });
    const attempt = await target.next();
    expect(attempt.request).toMatchObject({ method: "POST", path: "/v1/audio/transcriptions" });
    expect(attempt.request.headers["content-type"]).toMatch(/^multipart\/form-data; boundary=postern-[0-9a-f]{32}$/);
    const form = await readForm(attempt);
    expect([...form.keys()].sort()).toEqual(
      [
        "file",
        "language",
        "model",
        "prompt",
        "response_format",
        "temperature",
        ...Array(2).fill("timestamp_granularities[]"),
      ].sort(),
    );
    expect(form.get("prompt")).toBe("Größe");
    expect(form.getAll("timestamp_granularities[]")).toEqual(["word", "segment"]);
    const file = form.get("file") as File;
    expect([file.name, file.type]).toEqual(["audio.wav", "audio/wav"]);
    expect(Buffer.from(await file.arrayBuffer()).equals(AUDIO)).toBe(true);
    expect(attempt.request.body?.includes("secret")).toBe(false);
    answer(
      attempt,
      "application/json",
      JSON.stringify({ text: "Hallo Welt", duration: "9.5", segments: [], words: [] }),
    );
    expect((await transcribing).text).toBe("Hallo Welt");
    // Ten tokens a second, from the engine's own word of the length.
    expect(lastClosed()).toMatchObject({ outcome: "ok", tokensIn: 95, tokensOut: 3, isEstimated: true });
  });

  test("is metered as the engine says, where it counts tokens", async () => {
    const transcribing = client.audio.transcriptions.create({ model: "whisper", file: await speech() });
    // As llama-server writes it.
    const usage = {
      type: "tokens",
      input_tokens: 363,
      output_tokens: 71,
      input_tokens_details: { cached_tokens: 358 },
    };
    answer(
      await target.next(),
      "application/json; charset=utf-8",
      JSON.stringify({ type: "transcript.text.done", text: "And so", usage }),
    );
    expect((await transcribing).text).toBe("And so");
    const said = { tokensIn: 363, tokensInCached: 358, tokensOut: 71, isEstimated: false };
    expect(lastClosed()).toMatchObject({ outcome: "ok", ...said });
  });

  test.each([
    [{ text: "hi" }, 5, true],
    [{ text: "hi", usage: { type: "duration", seconds: 3 } }, 30, true],
    [{ text: "hi", usage: { type: "duration", seconds: 1e9 } }, 5, true],
    [{ text: "hi", usage: { input_tokens: 0, output_tokens: 0 } }, 5, true],
    [{ text: "", usage: { input_tokens: 14, output_tokens: 0 } }, 14, false],
  ])(
    "answered %j is an estimate from its size or length where it is not counted",
    async (body, tokensIn, isEstimated) => {
      const transcribing = client.audio.transcriptions.create({ model: "whisper", file: await speech() });
      answer(await target.next(), "application/json", JSON.stringify(body));
      await transcribing;
      expect(lastClosed()).toMatchObject({ tokensIn, isEstimated });
    },
  );

  test.each([
    ["text", "text/plain; charset=utf-8", "text/plain; charset=utf-8", "Hello there\n"],
    ["srt", "application/x-subrip", "application/x-subrip; charset=utf-8", "1\n00:00:00,000 --> 00:00:01,000\nHello\n"],
    ["vtt", "text/vtt", "text/vtt; charset=utf-8", "WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n"],
  ] as const)("as %s keeps its type and its bytes", async (format, type, toldType, text) => {
    const options = { model: "whisper", file: await speech(), response_format: format };
    const transcribing = client.audio.transcriptions.create(options).withResponse();
    answer(await target.next(), type, text);
    const { data, response } = await transcribing;
    expect(data).toBe(text);
    expect(response.headers.get("content-type")).toBe(toldType);
    expect(lastClosed()).toMatchObject({ tokensIn: 5, tokensOut: Math.ceil(text.length / 4), isEstimated: true });
  });

  test.each([
    ["application/json", "not json"],
    ["application/json", '{"segments":3}'],
    ["application/json", '{"text":"a","error":{"message":"x"}}'],
    ["application/octet-stream", "x"],
    ["image/png", "x"],
    ["", "x"],
  ])("that the engine answers with %s %s is a bad answer", async (type, body) => {
    const transcribing = client.audio.transcriptions
      .create({ model: "whisper", file: await speech() })
      .catch((error: unknown) => error);
    answer(await target.next(), type, body);
    expect(await transcribing).toMatchObject({ status: 502, code: "engine_bad_answer" });
  });

  test("that its caller leaves is an estimate from the size of the recording, not from its bytes as text", async () => {
    const leaving = new AbortController();
    const file = await toFile(Buffer.alloc(800_000, 1), "long.mp3");
    const transcribing = client.audio.transcriptions
      .create({ model: "whisper", file }, { signal: leaving.signal })
      .catch(() => null);
    const attempt = await target.next();
    leaving.abort();
    await attempt.whenCancelled;
    await transcribing;
    expect(lastClosed()).toMatchObject({ outcome: "aborted", tokensIn: 1000, isEstimated: true });
  });

  test("that is refused by the engine keeps the engine's words", async () => {
    const transcribing = client.audio.transcriptions
      .create({ model: "whisper", file: await speech() })
      .catch((error: unknown) => error);
    (await target.next()).answer(400, {
      error: { message: "Invalid or unsupported audio file.", type: "invalid_request_error" },
    });
    expect(await transcribing).toMatchObject({
      status: 400,
      message: expect.stringContaining("unsupported audio file"),
    });
  });
});

describe("a streamed transcription", () => {
  async function allOf(stream: AsyncIterable<unknown>): Promise<unknown[]> {
    const events: unknown[] = [];
    for await (const event of stream) events.push(event);
    return events;
  }

  test("of OpenAI's events arrives event by event, with its usage", async () => {
    const streaming = client.audio.transcriptions.create({ model: "whisper", file: await speech(), stream: true });
    const attempt = await target.next();
    expect((await readForm(attempt)).get("stream")).toBe("true");
    attempt.streamHead();
    attempt.data('data: {"type":"transcript.text.delta","delta":"Hel');
    attempt.data('lo"}\n\ndata: {"type":"transcript.text.delta","delta":" you"}\n\n');
    const done = {
      type: "transcript.text.done",
      text: "Hello you",
      usage: { type: "tokens", input_tokens: 14, output_tokens: 4 },
    };
    attempt.data(`data: ${JSON.stringify(done)}\n\n`);
    attempt.handler.onEnd();
    const events = await allOf(await streaming);
    expect(events).toMatchObject([
      { delta: "Hello" },
      { delta: " you" },
      { type: "transcript.text.done", text: "Hello you" },
    ]);
    expect(lastClosed()).toMatchObject({
      outcome: "ok",
      tokensIn: 14,
      tokensOut: 4,
      isEstimated: false,
    });
  });

  // vLLM says `finish_reason` after each part of a long recording; only `[DONE]` is the end.
  const chunk = (choice: object | null, usage?: object) =>
    `data: ${JSON.stringify({ id: "trsc", object: "transcription.chunk", choices: choice === null ? [] : [choice], usage })}\n\n`;

  test("of vLLM's chunks ends with [DONE], with the usage that was asked for and not told", async () => {
    const streaming = client.audio.transcriptions.create({ model: "whisper", file: await speech(), stream: true });
    const attempt = await target.next();
    expect((await readForm(attempt)).get("stream_include_usage")).toBe("true");
    attempt.streamHead();
    attempt.data(chunk({ delta: { content: " My" } }) + chunk({ delta: { content: " gosh" }, finish_reason: "stop" }));
    attempt.data(chunk({ delta: { content: "," }, finish_reason: "stop" }));
    attempt.data(`${chunk(null, { prompt_tokens: 40, completion_tokens: 6, total_tokens: 46 })}data: [DONE]\n\n`);
    attempt.handler.onEnd();
    const events = await allOf(await streaming);
    expect(events).toHaveLength(3);
    expect(lastClosed()).toMatchObject({ outcome: "ok", tokensIn: 40, tokensOut: 6, isEstimated: false });
  });

  test("that is cut is an error in the stream, and what was sent is counted", async () => {
    const streaming = client.audio.transcriptions.create({ model: "whisper", file: await speech(), stream: true });
    const attempt = await target.next();
    attempt.streamHead();
    attempt.data(chunk({ delta: { content: " My" } }) + chunk({ delta: { content: " gosh" }, finish_reason: "stop" }));
    attempt.handler.onEnd();
    await expect(allOf(await streaming)).rejects.toThrow();
    expect(lastClosed()).toMatchObject({
      outcome: "failed",
      errorCode: "engine_cut",
      tokensIn: 5,
      tokensOut: 2,
      isEstimated: true,
    });
  });
});

const BOUNDARY = "----test-boundary-42";
const field = (name: string, value: string) =>
  `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
const FILE = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg\r\n\r\nID3\r\n`;
const END = `--${BOUNDARY}--\r\n`;

interface Refused {
  status: number;
  code: string | null;
  error: { param?: string | null; message?: string };
}

async function post(
  body: string | Buffer,
  type = `multipart/form-data; boundary=${BOUNDARY}`,
  key = plane.key,
): Promise<Refused> {
  const sent = fetch(`http://127.0.0.1:${plane.port}/v1/audio/transcriptions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": type },
    body: typeof body === "string" ? Buffer.from(body, "latin1") : new Uint8Array(body),
  });
  const taken = target.attempts.length;
  // What is accepted is answered, so that the test sees 200.
  const done = sent.then(async (response) => {
    const { error } = (await response.json()) as { error?: Refused["error"] };
    return { status: response.status, code: response.headers.get("x-postern-error"), error: error ?? {} };
  });
  while (target.attempts.length === taken) {
    const settled = await Promise.race([done, new Promise<null>((resolve) => setImmediate(resolve, null))]);
    if (settled !== null) return settled;
  }
  answer(await target.next(), "application/json", '{"text":"ok"}');
  return done;
}

describe("a form that is not as it should be", () => {
  const model = field("model", "whisper");
  test.each([
    ["JSON", '{"model":"whisper"}', "application/json", 400, "body_not_form", undefined],
    ["no boundary in the type", model + FILE + END, "multipart/form-data", 400, "body_not_form", undefined],
    [
      "another boundary",
      model + FILE + END,
      "multipart/form-data; boundary=----other-one",
      400,
      "body_not_form",
      undefined,
    ],
    ["two models", model + field("model", "other") + FILE + END, undefined, 400, "body_ambiguous", "model"],
    [
      "two models, one in capitals",
      model + field("MODEL", "other") + FILE + END,
      undefined,
      400,
      "body_ambiguous",
      "MODEL",
    ],
    ["two files", model + FILE + FILE + END, undefined, 400, "body_ambiguous", "file"],
    ["no model", FILE + END, undefined, 400, "model_missing", "model"],
    ["an empty model", field("model", "") + FILE + END, undefined, 400, "model_missing", "model"],
    ["an unknown model", field("model", "nope") + FILE + END, undefined, 404, "model_not_found", undefined],
    ["no file", model + END, undefined, 400, "body_invalid", "file"],
    ["an empty file", model + FILE.replace("ID3", "") + END, undefined, 400, "body_invalid", "file"],
    ["a file that is a field", model + field("file", "ID3") + END, undefined, 400, "body_invalid", "file"],
    [
      "a model that is a file",
      FILE.replace('name="file"', 'name="model"') + FILE + END,
      undefined,
      400,
      "body_invalid",
      "model",
    ],
    ["a model beyond its bound", field("model", "m".repeat(300)) + FILE + END, undefined, 400, "body_invalid", "model"],
    [
      "a prompt that is not UTF-8",
      model + field("prompt", "\xff\xfe") + FILE + END,
      undefined,
      400,
      "body_invalid",
      "prompt",
    ],
    [
      "a prompt beyond its bound",
      model + field("prompt", "x".repeat(17_000)) + FILE + END,
      undefined,
      400,
      "body_invalid",
      "prompt",
    ],
    [
      "an unknown format",
      model + field("response_format", "html") + FILE + END,
      undefined,
      400,
      "body_invalid",
      "response_format",
    ],
    [
      "a temperature that is none",
      model + field("temperature", "1e9") + FILE + END,
      undefined,
      400,
      "body_invalid",
      "temperature",
    ],
    [
      "a language that is a path",
      model + field("language", "../x") + FILE + END,
      undefined,
      400,
      "body_invalid",
      "language",
    ],
    ["something before it", `x\r\n${model}${FILE}${END}`, undefined, 400, "body_not_form", undefined],
    ["something behind it", `${model}${FILE}${END}${model}`, undefined, 400, "body_not_form", undefined],
  ])("is refused: %s", async (_what, body, type, status, code, param) => {
    const refused = await post(body, type);
    expect(refused).toMatchObject({ status, code });
    if (param !== undefined) expect(refused.error.param).toBe(param);
  });

  test("loses the fields that nobody knows, which are named", async () => {
    const body = model + field("seed", "1") + field("x\u00e9", "1") + field("to_language", "en") + FILE + END;
    const before = target.attempts.length;
    expect((await post(body)).status).toBe(200);
    const { request } = target.attempts[before] as PlayedAttempt;
    const parts = parseForm(request.body as Buffer, readBoundary(request.headers["content-type"]));
    expect(parts.map(({ name }) => name)).toEqual(["model", "file"]);
  });

  test("is nobody's without a key, before its body is looked at", async () => {
    expect(await post("x", undefined, "pst_none")).toMatchObject({ status: 401 });
  });

  test("is not there where the operator did not ask for it", async () => {
    const other = await startDataPlane();
    try {
      const url = `http://127.0.0.1:${other.port}/v1/audio/transcriptions`;
      const response = await fetch(url, {
        method: "POST",
        headers: { authorization: `Bearer ${other.key}` },
        body: "x",
      });
      expect(response.status).toBe(404);
    } finally {
      await other.close();
    }
  });

  test("changed anywhere is accepted or refused with a 4xx, never an error of ours", async () => {
    const whole = model + field("prompt", "p") + field("stream", "false") + FILE + END;
    const pieces = [
      `--${BOUNDARY}`,
      `\r\n--${BOUNDARY}--`,
      "\r\n",
      "\n",
      '"',
      ";",
      'name="model"',
      "filename=",
      "\u0000",
      "\u00ff",
      "__proto__",
    ];
    const edit = fc.record({ at: fc.nat(), cut: fc.nat(40), piece: fc.constantFrom(...pieces) });
    const seen = new Set<number>();
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), async (edits) => {
        let text = whole;
        for (const { at, cut, piece } of edits) {
          const place = at % (text.length + 1);
          text = text.slice(0, place) + piece + text.slice(place + cut);
        }
        const { status } = await post(text);
        seen.add(status);
        expect([200, 400, 404]).toContain(status);
      }),
      { numRuns: 300 },
    );
    expect(seen.has(200) && seen.has(400)).toBe(true);
  });
});
