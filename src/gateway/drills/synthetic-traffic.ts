import { request as httpRequest } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import type { Places } from "../../access/places.ts";
import type { DrillPlan, DrillPrompt } from "../../continuity/drill/plan.ts";
import { MAX_SAMPLE_CHARACTERS } from "../../continuity/drill/record.ts";
import type { HttpRequest } from "../../http1/request.ts";
import type { HttpResponse } from "../../http1/response.ts";
import { HttpServer } from "../../http1/server.ts";
import type { Clock, Timer } from "../../lib/clock.ts";
import { SseReader } from "../../lib/sse-reader.ts";
import type { Origin } from "../../proxy/identify.ts";
import type { DrillKey, DrillKeys } from "./drill-keys.ts";

/** Prompts under way at one time; beyond it the next one is left out. */
const MAX_UNDER_WAY = 32;
/** Tokens that an answer may have: enough to judge it, and no more. */
const MAX_TOKENS = 256;
const MAX_EVENT_BYTES = 256 * 1024;
/** Of its own requests, which are short. */
const LIMITS = { maxHeadBytes: 16 * 1024, headMs: 15_000, bodyMs: 15_000, idleMs: 60_000 };

/** What came of one prompt. */
export interface PromptAnswer {
  prompt: DrillPrompt;
  sentAtMs: number;
  durationMs: number;
  /** The beginning of it. */
  text: string;
  servedBy: string | null;
  /** It came to its end. */
  isWhole: boolean;
}

export interface TrafficParts {
  clock: Clock;
  places: Places;
  keys: DrillKeys;
  /** The data plane. */
  handle(request: HttpRequest, response: HttpResponse, origin: Origin): void;
  onAnswer(answer: PromptAnswer): void;
}

/**
 * Asks a plan's prompts one after the other, the way a caller's request takes from its first byte on: over HTTP on loopback, into
 * the same pipeline, with keys of its own. Its listener takes nothing but those keys, because it knows no address rules.
 */
export class SyntheticTraffic {
  readonly #parts: TrafficParts;
  readonly #plan: DrillPlan;
  readonly #everyMs: number;
  #server: Server | null = null;
  #http: HttpServer | null = null;
  #timer: Timer | null = null;
  #sent = 0;
  #isStopped = false;
  readonly #underWay = new Map<number, () => void>();

  constructor(plan: DrillPlan, parts: TrafficParts) {
    this.#parts = parts;
    this.#plan = plan;
    const { perMinute, max } = plan.traffic;
    const wholeMs = plan.beforeMs + plan.durationMs + plan.afterMs;
    // Spread so that recovery, too, has requests to show.
    this.#everyMs = Math.max(60_000 / perMinute, wholeMs / max);
  }

  get sent(): number {
    return this.#sent;
  }

  async start(): Promise<void> {
    if (this.#plan.traffic.kind !== "synthetic" || this.#plan.traffic.prompts.length === 0) return;
    const { keys, handle, places, clock } = this.#parts;
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    const http = new HttpServer(server, {
      ...LIMITS,
      clock,
      onRequest(request, response) {
        const secret = /^Bearer (pst_\S+)$/.exec(request.header("authorization") ?? "")?.[1];
        const key = secret === undefined ? undefined : keys.bySecret(secret);
        if (key === undefined) request.socket.destroy();
        else handle(request, response, { address: addressFor(places, key.endpoint, clock.nowMs()), source: "peer" });
      },
      onUpgrade: (_request, socket) => socket.destroy(),
      onFault() {},
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    if (this.#isStopped) return void server.close();
    server.unref();
    this.#server = server;
    this.#http = http;
    this.#ask();
  }

  /** No more prompts; those under way are given up. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#timer = null;
    for (const giveUp of this.#underWay.values()) giveUp();
    this.#underWay.clear();
    this.#server?.close();
    this.#http?.closeAll();
    this.#server = null;
  }

  #ask(): void {
    if (this.#server === null) return;
    const { prompts, max } = this.#plan.traffic;
    if (this.#sent < max) this.#timer = this.#parts.clock.after(this.#everyMs, () => this.#ask());
    const prompt = prompts[this.#sent % prompts.length];
    const key = prompt === undefined ? undefined : this.#parts.keys.of(prompt.workflow);
    if (prompt === undefined || key === undefined || this.#sent >= max || this.#underWay.size >= MAX_UNDER_WAY) return;
    this.#send(this.#sent, prompt, key, (this.#server.address() as AddressInfo).port);
    this.#sent += 1;
  }

  #send(number: number, prompt: DrillPrompt, key: DrillKey, port: number): void {
    const { clock, places, onAnswer } = this.#parts;
    const endpoint = places.endpoints.get(key.endpoint);
    const body = JSON.stringify({
      model: prompt.model,
      messages: [{ role: "user", content: prompt.text }],
      max_tokens: MAX_TOKENS,
      stream: true,
    });
    const answer: PromptAnswer = {
      prompt,
      sentAtMs: clock.nowMs(),
      durationMs: 0,
      text: "",
      servedBy: null,
      isWhole: false,
    };
    const startedMs = clock.monotonicMs();
    const asking = httpRequest({
      host: "127.0.0.1",
      port,
      method: "POST",
      path: `${endpoint?.path ?? ""}/v1/chat/completions`,
      agent: false,
      headers: {
        host: endpoint?.host ?? "localhost",
        authorization: `Bearer ${key.secret.reveal()}`,
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
      },
    });
    const finish = (): void => {
      if (!this.#underWay.delete(number)) return;
      answer.durationMs = clock.monotonicMs() - startedMs;
      onAnswer(answer);
    };
    this.#underWay.set(number, () => asking.destroy());
    asking.on("error", finish);
    asking.on("response", (response) => {
      const reader = new SseReader(MAX_EVENT_BYTES, (data) => readEvent(data, answer));
      const servedBy = response.headers["x-postern-served-by"];
      answer.servedBy = typeof servedBy === "string" && servedBy !== "pending" ? servedBy : null;
      response.on("data", (chunk: Buffer) => {
        try {
          reader.push(chunk);
        } catch {
          asking.destroy();
        }
      });
      response.on("error", finish);
      response.on("close", finish);
    });
    asking.end(body);
  }
}

function readEvent(data: string, answer: PromptAnswer): void {
  if (data === "[DONE]") {
    answer.isWhole = true;
    return;
  }
  const chunk = JSON.parse(data) as { choices?: Array<{ delta?: { content?: unknown } }> };
  const text = chunk.choices?.[0]?.delta?.content;
  if (typeof text === "string") answer.text = (answer.text + text).slice(0, MAX_SAMPLE_CHARACTERS);
}

/** An address that the endpoint lets in: the drill stands for callers who may come. */
function addressFor(places: Places, endpoint: string, nowMs: number): string {
  const loopback = "127.0.0.1";
  if (places.rules.deny(loopback, endpoint, nowMs) === null) return loopback;
  const allowed = places.rules.rules
    .filter((rule) => rule.effect === "allow" && (rule.endpoint === null || rule.endpoint === endpoint))
    .map(({ range }) => range.split("/", 1)[0] ?? loopback)
    .find((address) => places.rules.deny(address, endpoint, nowMs) === null);
  return allowed ?? loopback;
}
