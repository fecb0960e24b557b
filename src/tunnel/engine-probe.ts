import { z } from "zod";
import type { Clock, Timer } from "../lib/clock.ts";
import type { Exchange, ExchangeHandler, Exchanger } from "../lib/exchange.ts";
import { ENGINE_HEADER, ENGINE_PROBE_PATH } from "./constants.ts";

/** What the agent found when it asked an engine for something that it answers from memory. */
export interface EngineProbeAnswer {
  ok: boolean;
  /** How long the engine took, as the agent saw it. */
  ms: number;
}

/** Asks an engine of the agent's own node. Null where there is none of that name. Does not reject. */
export type AskEngine = (engine: string) => Promise<EngineProbeAnswer | null>;

/** Longest that one probe may take, both ways and the engine together. */
export const ENGINE_PROBE_TIMEOUT_MS = 10_000;
const ANSWER_LIMIT_BYTES = 256;
const answerSchema = z.object({ ok: z.boolean(), ms: z.number().min(0).max(600_000) });

/** The agent's side. */
export async function answerEngineProbe(engine: string, ask: AskEngine): Promise<{ status: number; body: string }> {
  const answer = await ask(engine);
  if (answer === null) return { status: 404, body: "" };
  return { status: 200, body: JSON.stringify({ ok: answer.ok, ms: Math.round(answer.ms * 10) / 10 }) };
}

/** What the gateway found. */
export interface EngineProbeResult {
  /** There and back through the link, the engine's part included. */
  throughMs: number;
  /** The engine's part; null where the agent does not say (it is older, or the engine is gone). */
  engine: EngineProbeAnswer | null;
}

/**
 * The gateway's side: one question on the way that attempts take.
 *
 * @param then Gets null when nothing came back in time. Called exactly once, unless it is cancelled.
 */
export function probeEngine(
  link: Exchanger,
  engine: string,
  clock: Clock,
  then: (result: EngineProbeResult | null) => void,
): { cancel(): void } {
  const startedMs = clock.monotonicMs();
  let isOver = false;
  let status = 0;
  const chunks: Buffer[] = [];
  let bytes = 0;
  let timer: Timer | null = null;
  let exchange: Exchange | null = null;
  const settle = (result: EngineProbeResult | null): void => {
    if (isOver) return;
    isOver = true;
    timer?.cancel();
    then(result);
  };
  const handler: ExchangeHandler = {
    onHead: (said) => {
      status = said;
    },
    onData: (chunk) => {
      bytes += chunk.length;
      if (bytes <= ANSWER_LIMIT_BYTES) chunks.push(chunk);
    },
    onEnd: () => {
      const throughMs = clock.monotonicMs() - startedMs;
      settle({ throughMs, engine: status === 200 ? readAnswer(Buffer.concat(chunks)) : null });
    },
    onFailure: () => settle(null),
  };
  timer = clock.after(ENGINE_PROBE_TIMEOUT_MS, () => {
    exchange?.cancel("deadline");
    settle(null);
  });
  const headers = { [ENGINE_HEADER]: engine };
  exchange = link.start({ method: "GET", path: ENGINE_PROBE_PATH, headers, body: null }, handler);
  return {
    cancel() {
      if (isOver) return;
      isOver = true;
      timer?.cancel();
      exchange?.cancel("shutdown");
    },
  };
}

function readAnswer(bytes: Buffer): EngineProbeAnswer | null {
  try {
    return answerSchema.parse(JSON.parse(bytes.toString("utf8")));
  } catch {
    return null;
  }
}
