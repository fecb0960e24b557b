import { createHash } from "node:crypto";
import type { FakeKind } from "./clothes.ts";
import type { Json } from "./json.ts";

/** What a transcription asked for; a text where the request is none, which says why. */
export interface TranscriptionAsk {
  model: string;
  format: string;
  isStream: boolean;
  withUsage: boolean;
  file: { name: string; type: string; bytes: Buffer };
}

/** Reads the form with Node's own reader. */
export async function readTranscription(contentType: string, body: Buffer): Promise<TranscriptionAsk | string> {
  let form: FormData;
  try {
    form = await new Response(new Uint8Array(body), { headers: { "content-type": contentType } }).formData();
  } catch {
    return "the body is not a form";
  }
  const file = form.get("file");
  if (!(file instanceof File)) return "file is missing";
  const text = (name: string) => String(form.get(name) ?? "");
  return {
    model: text("model"),
    format: text("response_format") || "json",
    isStream: text("stream") === "true",
    withUsage: text("stream_include_usage") === "true",
    file: { name: file.name, type: file.type, bytes: Buffer.from(await file.arrayBuffer()) },
  };
}

/** What it hears: nothing. It says what came, so that a test knows that it came whole. */
export function transcribe({ file }: TranscriptionAsk): string {
  const digest = createHash("sha256").update(file.bytes).digest("hex").slice(0, 12);
  return `${file.bytes.length} bytes of ${file.name} (${file.type}), ${digest}.`;
}

/** A whole answer, as far as each server is known: content type and body. */
export function transcript(kind: FakeKind, ask: TranscriptionAsk): { type: string; body: string } {
  const text = transcribe(ask);
  const tokens = { type: "tokens", input_tokens: 30, output_tokens: 12, total_tokens: 42 };
  const json = (value: Json) => ({ type: "application/json", body: JSON.stringify(value) });
  // After ggml-org/llama.cpp #21863: always this, whatever was asked for.
  if (kind === "llama-server") {
    return json({
      type: "transcript.text.done",
      text,
      usage: { ...tokens, input_tokens_details: { cached_tokens: 5 } },
    });
  }
  if (ask.format === "text") return { type: "text/plain; charset=utf-8", body: `${text}\n` };
  if (ask.format === "vtt") return { type: "text/vtt", body: `WEBVTT\n\n00:00.000 --> 00:01.000\n${text}\n` };
  if (ask.format === "verbose_json") return json({ text, language: "en", duration: "4.0", segments: [] });
  return json(kind === "vllm" ? { text, usage: { type: "duration", seconds: 4 } } : { text });
}

/** vLLM's stream (vllm-project/vllm #49116). */
export function transcriptStream(ask: TranscriptionAsk): string {
  const head = { id: "transcribe-fake", object: "transcription.chunk", created: 1785571200, model: ask.model };
  const chunk = (rest: Json) => `data: ${JSON.stringify({ ...head, ...(rest as object) })}\n\n`;
  const words = transcribe(ask).split(/(?= )/);
  const said = words.map((content) => chunk({ choices: [{ delta: { content } }] })).join("");
  const usage = { prompt_tokens: 30, completion_tokens: words.length, total_tokens: 30 + words.length };
  const end = chunk({ choices: [{ delta: { content: "" }, finish_reason: "stop", stop_reason: null }] });
  return `${said}${end}${ask.withUsage ? chunk({ choices: [], usage }) : ""}data: [DONE]\n\n`;
}
