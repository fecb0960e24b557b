import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { FakeKind } from "./clothes.ts";
import { type Json, member, text } from "./json.ts";
import { type FakeEngineProgram, startFakeEngine } from "./start.ts";

/** The fake engine against recordings of the real ones: the same members in every record, none made up, none forgotten. */
const SERVERS: ReadonlyArray<[FakeKind, string, string]> = [
  ["llama-server", "b11549", "llama-server-b11549.json"],
  ["ollama", "0.17.4", "ollama-0.17.4.json"],
];

const EXCHANGES = [
  ["chat", "chat-stream-usage", "chat-tools", "chat-tools-stream", "chat-bad", "chat-unknown-model"],
  ["completions", "completions-stream-usage", "embeddings"],
  ["responses", "responses-stream", "responses-tools", "responses-tools-stream", "responses-bad"],
  ["messages", "messages-stream", "messages-tools", "messages-tools-stream", "messages-unknown-model"],
  ["ollama-chat", "ollama-chat-stream", "ollama-chat-load", "ollama-chat-tools", "ollama-chat-tools-stream"],
  ["ollama-generate", "ollama-generate-stream", "ollama-embed", "ollama-chat-unknown-model", "ollama-chat-bad"],
].flat();

/**
 * What the fake leaves out on purpose: measurements, echoes of the request, and empty members of Ollama's responses. The recorded
 * model wrote a line of text beside its tool call and filled an optional argument, which the fake does not.
 */
const LEFT_OUT =
  /timings|fingerprint|\.days|tools\[\]|completed_at|_penalty|prompt_cache_key|safety_identifier|encrypted_content|\.text$|content_part|output_text|\.item\.role|summary\[\]|added>\.item\.content/;

interface Recording {
  path: string;
  request: { [name: string]: Json };
  status: number;
  contentType: string;
  body: string;
}

let engine: FakeEngineProgram;
afterEach(() => engine.close());

describe.each(SERVERS)("the fake %s %s", (kind, version, file) => {
  const recordings = JSON.parse(readFileSync(join(import.meta.dirname, "../recordings", file), "utf8")) as Record<
    string,
    Recording
  >;
  test.each(EXCHANGES.filter((name) => name in recordings))("answers %s as the recorded one", async (name) => {
    const recording = recordings[name];
    if (recording === undefined) throw new Error("no such recording");
    engine = await startFakeEngine({ kind, version, models: ["plain", "thinking"] });
    const { model } = recording.request;
    const request = {
      ...recording.request,
      model: model === "nope" ? "nope" : name.includes("tools") ? "thinking" : "plain",
    };
    const answer = await fetch(new URL(recording.path, engine.url), { method: "POST", body: JSON.stringify(request) });
    const type = (answer.headers.get("content-type") ?? "").replace(/;.*/, "");
    expect([answer.status, type]).toEqual([recording.status, recording.contentType.replace(/;.*/, "")]);
    const real = membersOf(recording.body, type);
    const fake = membersOf(await answer.text(), type);
    expect([...fake].filter((path) => !real.has(path))).toEqual([]);
    expect([...real].filter((path) => !fake.has(path) && !LEFT_OUT.test(path))).toEqual([]);
  });
});

/** Where members stand, with the `type` of the record: `<message_start>.message.id`. */
function membersOf(body: string, type: string): Set<string> {
  const records = type.includes("event-stream")
    ? [...body.matchAll(/^data: (\{.*)$/gm)].map((match) => match[1] ?? "")
    : body.trim().split("\n");
  const found = new Set<string>();
  for (const record of records) {
    const value = JSON.parse(record) as Json;
    const name = text(member(value, "type"));
    visit(value, name === "" ? "" : `<${name}>`, found);
  }
  return found;
}

function visit(value: Json | undefined, path: string, found: Set<string>): void {
  if (typeof value !== "object" || value === null) return;
  if (Array.isArray(value)) {
    for (const one of value) visit(one, `${path}[]`, found);
    return;
  }
  for (const [name, one] of Object.entries(value)) {
    found.add(`${path}.${name}`);
    visit(one, `${path}.${name}`, found);
  }
}
