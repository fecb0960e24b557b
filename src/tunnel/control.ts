import type { Http2Stream } from "node:http2";
import { z } from "zod";
import type { Clock } from "../lib/clock.ts";
import { CONTROL_BURST, CONTROL_LINE_LIMIT, CONTROL_PER_SECOND, CONTROL_QUEUE_LIMIT } from "./constants.ts";
import type { NodeReport } from "./link.ts";
import { Rate } from "./rate.ts";
import { readReport } from "./report.ts";

/** What the gateway says on the control stream. */
export type GatewayMessage =
  /** No new attempts will come on this link. Dial a replacement now, after a random part of `spreadMs`. */
  | { type: "drain"; reason: string; spreadMs: number }
  /** Which of the reported models this node may serve. For people: the gateway enforces it anyway. */
  | { type: "models"; granted: string[]; refused: Array<{ name: string; reason: string }> }
  /** The link is about to end. */
  | { type: "bye"; reason: string; permanent: boolean; retryAfterSeconds: number }
  | Unsupported;

/** What the agent says. */
export type AgentMessage =
  | { type: "report"; report: NodeReport }
  /** The agent is going away: no new attempts, please; running ones finish. */
  | { type: "draining" }
  | Unsupported;

/** The answer to a required message that the receiver does not know; the link ends after it. */
interface Unsupported {
  type: "unsupported";
  of: string;
  hint: string;
}

/** Why a control stream is given up. */
export type ControlTrouble =
  | "line_too_long"
  | "not_json"
  | "bad_message"
  | "bad_report"
  | "too_many_lines"
  | "unsupported"
  | "peer_not_reading"
  | "ended";

const shortText = z.string().max(300);
const envelopeSchema = z.object({ type: z.string().min(1).max(64), required: z.boolean().optional() });
const unsupportedSchema = z.object({ type: z.literal("unsupported"), of: z.string().max(64), hint: shortText });
const gatewaySchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("drain"), reason: shortText, spreadMs: z.int().min(0).max(600_000) }),
  z.object({
    type: z.literal("models"),
    granted: z.array(z.string().max(256)).max(2048),
    refused: z.array(z.object({ name: z.string().max(256), reason: shortText })).max(2048),
  }),
  z.object({
    type: z.literal("bye"),
    reason: shortText,
    permanent: z.boolean(),
    retryAfterSeconds: z.number().min(0).max(3600),
  }),
  unsupportedSchema,
]);
const agentSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("report"), report: z.unknown() }),
  z.object({ type: z.literal("draining") }),
  unsupportedSchema,
]);
const GATEWAY_TYPES = new Set(["drain", "models", "bye", "unsupported"]);
const AGENT_TYPES = new Set(["report", "draining", "unsupported"]);

/** One line of the control stream as it was understood. */
export type ControlLine<M> =
  | { message: M }
  | { ignored: string }
  | { unsupported: string }
  | { trouble: ControlTrouble };

/** Reads a line that an agent sent. Does not throw. */
export function readAgentLine(line: string): ControlLine<AgentMessage> {
  return readLine(line, AGENT_TYPES, (value): ControlLine<AgentMessage> => {
    const result = agentSchema.safeParse(value);
    if (!result.success) return { trouble: "bad_message" };
    if (result.data.type !== "report") return { message: result.data };
    const report = readReport(result.data.report);
    return report === null ? { trouble: "bad_report" } : { message: { type: "report", report } };
  });
}

/** Reads a line that a gateway sent. Does not throw. */
export function readGatewayLine(line: string): ControlLine<GatewayMessage> {
  return readLine(line, GATEWAY_TYPES, (value): ControlLine<GatewayMessage> => {
    const result = gatewaySchema.safeParse(value);
    return result.success ? { message: result.data } : { trouble: "bad_message" };
  });
}

function readLine<M>(
  line: string,
  known: ReadonlySet<string>,
  read: (value: unknown) => ControlLine<M>,
): ControlLine<M> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { trouble: "not_json" };
  }
  const envelope = envelopeSchema.safeParse(value);
  if (!envelope.success) return { trouble: "bad_message" };
  if (known.has(envelope.data.type)) return read(value);
  return envelope.data.required === true ? { unsupported: envelope.data.type } : { ignored: envelope.data.type };
}

/**
 * Cuts bytes into lines of at most `CONTROL_LINE_LIMIT` bytes. Copies what it keeps: a peer that sends one byte at a time
 * must not pin the receive buffers that its bytes came in.
 */
export class LineReader {
  #kept = Buffer.alloc(1024);
  #length = 0;

  /** Calls `onLine` for each line that `chunk` completes (without the newline). False when a line is too long. */
  push(chunk: Buffer, onLine: (line: string) => void): boolean {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(0x0a, start);
      const part = chunk.subarray(start, end < 0 ? chunk.length : end);
      if (this.#length + part.length > CONTROL_LINE_LIMIT) return false;
      this.#keep(part);
      if (end < 0) return true;
      const line = this.#kept.toString("utf8", 0, this.#length);
      this.#length = 0;
      if (line.length > 0) onLine(line);
      start = end + 1;
    }
  }

  #keep(part: Buffer): void {
    const needed = this.#length + part.length;
    if (needed > this.#kept.length) {
      const larger = Buffer.alloc(Math.max(needed, this.#kept.length * 2));
      this.#kept.copy(larger, 0, 0, this.#length);
      this.#kept = larger;
    }
    part.copy(this.#kept, this.#length);
    this.#length = needed;
  }
}

/** Both ends' side of the control stream: JSON lines out and in, bounded both ways. */
export class ControlChannel<Out extends object, In> {
  readonly #stream: Http2Stream;
  readonly #onTrouble: (trouble: ControlTrouble) => void;
  #isOver = false;

  constructor(
    stream: Http2Stream,
    clock: Clock,
    read: (line: string) => ControlLine<In>,
    handlers: { onMessage(message: In): void; onTrouble(trouble: ControlTrouble): void },
  ) {
    this.#stream = stream;
    this.#onTrouble = handlers.onTrouble;
    const lines = new LineReader();
    const rate = new Rate(clock, CONTROL_BURST, CONTROL_PER_SECOND);
    const onLine = (line: string) => {
      if (this.#isOver) return;
      if (!rate.take()) return this.#giveUp("too_many_lines");
      const result = read(line);
      if ("trouble" in result) return this.#giveUp(result.trouble);
      if ("unsupported" in result) return this.#refuse(result.unsupported);
      if ("message" in result) handlers.onMessage(result.message);
    };
    stream.on("data", (chunk: Buffer) => {
      if (!this.#isOver && !lines.push(chunk, onLine)) this.#giveUp("line_too_long");
    });
    stream.on("error", () => {});
    stream.on("end", () => this.#giveUp("ended"));
    stream.on("close", () => this.#giveUp("ended"));
  }

  /** Sends one message; false when the stream is over. A peer that does not read ends the link. */
  send(message: Out): boolean {
    if (this.#isOver || this.#stream.destroyed || this.#stream.closed) return false;
    this.#stream.write(`${JSON.stringify(message)}\n`);
    if (this.#stream.writableLength > CONTROL_QUEUE_LIMIT) this.#giveUp("peer_not_reading");
    return !this.#isOver;
  }

  /** No more callbacks: the link is ending for another reason. */
  silence(): void {
    this.#isOver = true;
  }

  #refuse(type: string): void {
    const message: Unsupported = {
      type: "unsupported",
      of: type,
      hint: "Upgrade Postern on this side: it does not know this message.",
    };
    this.#stream.write(`${JSON.stringify(message)}\n`);
    this.#giveUp("unsupported");
  }

  #giveUp(trouble: ControlTrouble): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onTrouble(trouble);
  }
}
