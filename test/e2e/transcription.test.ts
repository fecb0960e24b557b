import { createHash } from "node:crypto";
import OpenAI, { toFile } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startFakeEngine } from "../support/fake-engine/start.ts";
import { startWholePath, type WholePath } from "../support/whole-path.ts";

/**
 * Recordings through gateway, tunnel and agent to each engine that transcribes, with OpenAI's own client: the file arrives whole, under
 * a name of ours, and the answer comes back in the format that was asked for, as far as the engine has it.
 */
const MODEL = "whisper-small";
// Everything that a form could stumble over, and as many bytes as take several frames of the tunnel.
const AUDIO = Buffer.concat([Buffer.from("RIFF\r\n--\r\n\0\xff", "latin1"), Buffer.alloc(300_000, "\r\n--postern-")]);
const DIGEST = createHash("sha256").update(AUDIO).digest("hex").slice(0, 12);
const HEARD = `${AUDIO.length} bytes of audio.flac (audio/flac), ${DIGEST}.`;

describe.each(["ollama", "llama-server", "vllm"] as const)("%s", (kind) => {
  let engine: Awaited<ReturnType<typeof startFakeEngine>>;
  let path: WholePath;
  let client: OpenAI;

  beforeAll(async () => {
    engine = await startFakeEngine({ kind, models: [MODEL] });
    const address = { url: engine.url.origin, apiKey: null, host: null, caFile: null, serverName: null };
    const started = await startWholePath({
      agent: { engines: [{ ...address, name: kind, kind: null, exposureAccepted: false }] },
      gateway: { optional: ["openai.transcriptions"] },
    });
    if (started === null) throw new Error("nothing to start was wanted");
    path = started;
    await path.untilServed(MODEL);
    client = new OpenAI({ apiKey: path.key, baseURL: `${path.origin}/v1`, maxRetries: 0 });
  });
  afterAll(async () => {
    await path?.close();
    await engine?.close();
  });

  const recording = () => toFile(AUDIO, "../../my diary.flac");

  it("hears all of it and answers as JSON, and the ledger has it", async () => {
    const asked = { model: MODEL, file: await recording(), language: "en", prompt: "Größe" };
    const { data, response } = await client.audio.transcriptions.create(asked).withResponse();
    expect(data.text).toBe(HEARD);
    const sent = engine.requests.findLast(({ path }) => path === "/v1/audio/transcriptions");
    expect(sent?.headers["content-type"]).toMatch(/^multipart\/form-data; boundary=postern-[0-9a-f]{32}$/);
    expect(sent?.body).not.toContain("diary");
    const record = await path.record(response.headers.get("x-request-id") ?? "");
    expect(record).toMatchObject({
      operation: "openai.transcriptions",
      model: expect.stringContaining(MODEL),
      outcome: "ok",
    });
    const told = { ollama: [376, true], "llama-server": [30, false], vllm: [40, true] } as const;
    const [tokensIn, isEstimated] = told[kind];
    // Ollama says nothing: from the size, and the prompt. vLLM says four seconds.
    expect(record).toMatchObject({ isEstimated, tokensIn: kind === "ollama" ? expect.any(Number) : tokensIn });
    if (kind === "ollama") expect(Math.abs(record.tokensIn - tokensIn)).toBeLessThanOrEqual(3);
    expect(record.tokensOut).toBeGreaterThan(0);
  });

  if (kind !== "llama-server")
    it("answers as text and as subtitles", async () => {
      for (const format of ["text", "vtt"] as const) {
        const text: unknown = await client.audio.transcriptions.create({
          model: MODEL,
          file: await recording(),
          response_format: format,
        });
        expect(text).toContain(HEARD);
      }
    });

  if (kind === "vllm")
    it("streams what it hears", async () => {
      const streaming = client.audio.transcriptions.create({ model: MODEL, file: await recording(), stream: true });
      const { data, response } = await streaming.withResponse();
      let text = "";
      for await (const event of data) {
        const chunk = event as unknown as { choices: { delta: { content: string } }[] };
        for (const { delta } of chunk.choices) text += delta.content;
      }
      expect(text).toBe(HEARD);
      const record = await path.record(response.headers.get("x-request-id") ?? "");
      expect(record).toMatchObject({ outcome: "ok", isStream: true, tokensIn: 30, isEstimated: false });
    });

  it("is asked for a model that it does not have: 404, and nothing is sent", async () => {
    const before = engine.requests.length;
    const asking = client.audio.transcriptions.create({ model: "nope", file: await recording() });
    await expect(asking).rejects.toMatchObject({ status: 404, code: "model_not_found" });
    expect(engine.requests.slice(before).filter(({ method }) => method === "POST")).toEqual([]);
  });
});
