import { z } from "zod";
import type { Clock } from "../lib/clock.ts";
import { CONTROL_BURST, CONTROL_PER_SECOND } from "./constants.ts";
import type { NodeReport } from "./link.ts";
import { Rate } from "./rate.ts";
import { readReport } from "./report.ts";

/** What the gateway says on the control channel. */
export type GatewayMessage =
  /** No new attempts will come on this link. Dial a replacement now, after a random part of `spreadMs`. */
  | { type: "drain"; reason: string; spreadMs: number }
  /** Which of the reported models this node may serve. For people: the gateway enforces it anyway. */
  | { type: "models"; granted: string[]; refused: Array<{ name: string; reason: string }> }
  /** Send a Wake-on-LAN packet for this address. For agents whose operator allows it; others do nothing. */
  | { type: "wake"; mac: string }
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

/** Why a control channel is given up. */
export type ControlTrouble = "not_json" | "bad_message" | "bad_report" | "too_many_lines" | "unsupported";

/** Six bytes in lower-case hexadecimal, with colons. */
export const MAC_SYNTAX = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/;

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
  z.object({ type: z.literal("wake"), mac: z.string().regex(MAC_SYNTAX) }),
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
const GATEWAY_TYPES = new Set(["drain", "models", "wake", "bye", "unsupported"]);
const AGENT_TYPES = new Set(["report", "draining", "unsupported"]);

/** One message of the control channel as it was understood. */
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

/** Both ends' side of the control channel: JSON messages out and in. Their size and what waits is bounded by the session. */
export class ControlChannel<Out extends object, In> {
  readonly #write: (line: string) => void;
  readonly #read: (line: string) => ControlLine<In>;
  readonly #handlers: { onMessage(message: In): void; onTrouble(trouble: ControlTrouble): void };
  readonly #rate: Rate;
  #isOver = false;

  constructor(
    write: (line: string) => void,
    clock: Clock,
    read: (line: string) => ControlLine<In>,
    handlers: { onMessage(message: In): void; onTrouble(trouble: ControlTrouble): void },
  ) {
    this.#write = write;
    this.#read = read;
    this.#handlers = handlers;
    this.#rate = new Rate(clock, CONTROL_BURST, CONTROL_PER_SECOND);
  }

  /** Takes a message that came. */
  receive(line: string): void {
    if (this.#isOver) return;
    if (!this.#rate.take()) return this.#giveUp("too_many_lines");
    const result = this.#read(line);
    if ("trouble" in result) return this.#giveUp(result.trouble);
    if ("unsupported" in result) return this.#refuse(result.unsupported);
    if ("message" in result) this.#handlers.onMessage(result.message);
  }

  /** Sends one message; nothing when the channel is over. */
  send(message: Out): void {
    if (!this.#isOver) this.#write(JSON.stringify(message));
  }

  /** No more callbacks and messages: the link is ending for another reason. */
  silence(): void {
    this.#isOver = true;
  }

  #refuse(type: string): void {
    const message: Unsupported = {
      type: "unsupported",
      of: type,
      hint: "Upgrade Postern on this side: it does not know this message.",
    };
    this.#write(JSON.stringify(message));
    this.#giveUp("unsupported");
  }

  #giveUp(trouble: ControlTrouble): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#handlers.onTrouble(trouble);
  }
}
