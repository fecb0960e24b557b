import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { start } from "./children.ts";
import { createKey, POSTERN_SOURCE } from "./postern-cli.ts";
import { CACHE } from "./programs.ts";

/** Time from `npm start` to the first token that reached a caller. */
export interface FirstToken {
  seconds: number;
}

const START_MS = 120_000;

/**
 * Runs `npm start` twice over one data folder: the first run installs the engine and makes the key, the second is measured, up to the
 * first chunk with content of a streamed chat.
 */
export async function measureFirstToken(): Promise<FirstToken> {
  const folder = join(CACHE, "first-token");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const data = join(folder, "data");
  const first = await startOnce(data);
  let key: string;
  try {
    key = first.key ?? (await createKey(POSTERN_SOURCE, { POSTERN_DATA: data }));
  } finally {
    await first.stop();
  }
  const beganMs = performance.now();
  const second = await startOnce(data);
  try {
    await untilFirstToken(second.baseUrl, key, second.model);
    return { seconds: (performance.now() - beganMs) / 1000 };
  } finally {
    await second.stop();
  }
}

async function startOnce(data: string) {
  const child = start("npm start", "npm", ["start", "--silent", "--", "--json"], {
    cwd: join(import.meta.dirname, ".."),
    isGroup: true,
    env: { POSTERN_DATA: data, POSTERN_LISTEN: "127.0.0.1:0", POSTERN_ADMIN_LISTEN: "127.0.0.1:0" },
  });
  try {
    const said = JSON.parse(await child.line(START_MS)) as {
      baseUrl: string;
      apiKey: string | null;
      models: string[];
      modelsReason: string | null;
    };
    const model = said.models[0];
    if (model === undefined) throw new Error(`no model: ${said.modelsReason}`);
    return { baseUrl: said.baseUrl, key: said.apiKey, model, stop: () => child.stop() };
  } catch (error) {
    await child.stop();
    throw error;
  }
}

async function untilFirstToken(baseUrl: string, key: string, model: string): Promise<void> {
  const answer = await fetch(`${baseUrl}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model, stream: true, max_tokens: 8, messages: [{ role: "user", content: "Hello" }] }),
  });
  if (!answer.ok || answer.body === null) throw new Error(`the first request was answered ${answer.status}`);
  let text = "";
  for await (const part of answer.body.pipeThrough(new TextDecoderStream())) {
    text += part;
    if (/"content":"[^"]/.test(text)) return;
  }
  throw new Error("the stream ended without content");
}
