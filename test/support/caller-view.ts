import { TEXT } from "./fault-upstream.ts";

/** What a caller of the sixteen scenarios saw. */
export interface CallerView {
  status: number;
  headers: Headers;
  text: string;
  /** Of the chunks, or of the whole answer. */
  model: string | null;
  usage: { completion_tokens?: number } | null;
  hasFinish: boolean;
  hasDone: boolean;
  /** The dialect's error: as the body, or in the stream. */
  error: { message?: string; code?: string | null } | null;
  /** HTTP ended as it should. */
  isClean: boolean;
  body: string;
}

/** Whole answer: pass. A clear, bounded error: safe. A truncated answer that looks like success: fail. */
export type Verdict = "pass" | "safe" | "fail";

export function judge(view: CallerView): Verdict {
  if (view.error !== null) return view.status >= 400 || (!view.hasDone && !view.isClean) ? "safe" : "fail";
  return view.text === TEXT && view.hasFinish && view.isClean && view.status === 200 ? "pass" : "fail";
}

/** Reads an answer of OpenAI's chat to its end, streamed or not. */
export async function readView(answer: Response, onText: (text: string) => void = () => {}): Promise<CallerView> {
  const { status, headers } = answer;
  let body = "";
  let isClean = true;
  try {
    const decoder = new TextDecoder();
    for await (const chunk of answer.body ?? []) {
      body += decoder.decode(chunk, { stream: true });
      onText(body);
    }
  } catch {
    isClean = false;
  }
  const isStream = headers.get("content-type")?.startsWith("text/event-stream") === true;
  const view: CallerView = {
    status,
    headers,
    text: "",
    model: null,
    usage: null,
    hasFinish: false,
    hasDone: body.includes("data: [DONE]"),
    error: null,
    isClean,
    body,
  };
  const records = isStream
    ? [...body.matchAll(/^data: (\{.*)$/gm)].map(([, json = ""]) => JSON.parse(json) as Chunk)
    : [JSON.parse(body) as Chunk];
  for (const { choices, error, model, usage } of records) {
    view.model = model ?? view.model;
    view.usage = usage ?? view.usage;
    view.error = error ?? view.error;
    for (const choice of choices ?? []) {
      view.text += choice.delta?.content ?? choice.message?.content ?? "";
      view.hasFinish ||= typeof choice.finish_reason === "string";
    }
  }
  return view;
}

interface Chunk {
  model?: string;
  usage?: { completion_tokens?: number };
  error?: { message?: string; code?: string | null };
  choices?: Array<{
    delta?: { content?: string };
    message?: { content?: string };
    finish_reason?: string | null;
  }>;
}
