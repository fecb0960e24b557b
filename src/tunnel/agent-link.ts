import type { Duplex } from "node:stream";
import type { Clock, Timer } from "../lib/clock.ts";
import { LiveSet } from "../lib/live-set.ts";
import {
  DRAIN_MS,
  ENGINE_HEADER,
  ENGINE_PROBE_PATH,
  HANDSHAKE_TIMEOUT_MS,
  PROBE_PATH,
  PROMPT_WINDOW_BYTES,
  RESERVED_STREAMS,
} from "./constants.ts";
import { type AgentMessage, ControlChannel, type GatewayMessage, readGatewayLine } from "./control.ts";
import { type AskEngine, answerEngineProbe } from "./engine-probe.ts";
import { STREAM_SLOTS } from "./frames.ts";
import { readRequestHead } from "./heads.ts";
import type { NodeReport } from "./link.ts";
import { Liveness } from "./liveness.ts";
import { conformReport } from "./report.ts";
import { Attempt, type AttemptHandler, type BodyBudget, ownAnswer, ownAnswerLater } from "./serve.ts";
import { Session } from "./session.ts";

/** How long a polite end of the session may take before the socket is destroyed. */
const CLOSE_GRACE_MS = 1_000;
/** Least time between two reports on one link. */
const REPORT_INTERVAL_MS = 250;

/** What the agent's end of a link is made of. */
export interface AgentLinkOptions {
  carrier: Duplex;
  /** Attempts taken at once; bounded by the slots of a link. */
  capacity: number;
  budget: BodyBudget;
  onAttempt: AttemptHandler;
  /** Asks an engine of this node how it is. */
  onEngineProbe?: AskEngine | undefined;
  clock: Clock;
  events: {
    /** The gateway's settings have come: the link is in use. */
    onOpen(): void;
    onMessage(message: GatewayMessage): void;
    /** Once, for whatever reason. */
    onClosed(detail: string): void;
  };
}

/** A link, seen from the agent: serves streams on the connection that it dialled. */
export class AgentLink {
  readonly #session: Session;
  readonly #carrier: Duplex;
  readonly #clock: Clock;
  readonly #options: AgentLinkOptions;
  readonly #liveness: Liveness;
  readonly #running = new LiveSet<Attempt>();
  readonly #closed = Promise.withResolvers<void>();
  readonly #control: ControlChannel<AgentMessage, GatewayMessage>;
  #isOpen = false;
  #report: NodeReport | null = null;
  #isDraining = false;
  #isClosed = false;
  #drainTimer: Timer | null = null;
  #reportTimer: Timer | null = null;
  readonly #openTimer: Timer;
  readonly #capacity: number;

  constructor(options: AgentLinkOptions) {
    this.#options = options;
    this.#carrier = options.carrier;
    this.#clock = options.clock;
    this.#capacity = Math.min(options.capacity, STREAM_SLOTS - RESERVED_STREAMS);
    this.#session = new Session({
      carrier: this.#carrier,
      clock: this.#clock,
      windowBytes: PROMPT_WINDOW_BYTES,
      capacity: this.#capacity + RESERVED_STREAMS,
      events: {
        onSettings: () => this.#onOpen(),
        onControl: (line) => this.#control.receive(line),
        onOpen: (id, payload, isLast) => this.#onStream(id, payload, isLast),
        onOver: (_reason, detail) => this.#end(detail),
      },
    });
    this.#control = new ControlChannel((line) => this.#session.control(line), this.#clock, readGatewayLine, {
      onMessage: (message) => {
        if (message.type === "unsupported") return this.#end(`the gateway does not know "${message.of}"`);
        this.#options.events.onMessage(message);
      },
      onTrouble: (trouble) => this.#end(`control channel: ${trouble}`),
    });
    this.#liveness = new Liveness(this.#session, this.#clock, (state) => {
      if (state === "dead") this.#end("no answer to pings", 0);
    });
    this.#openTimer = this.#clock.after(HANDSHAKE_TIMEOUT_MS, () => this.#end("the gateway opened no session"));
    this.#liveness.start();
  }

  /** Attempts that run now. */
  get running(): number {
    return this.#running.size;
  }

  /** Whether the gateway has opened its session and the link has not ended. */
  get isOpen(): boolean {
    return this.#isOpen && !this.#isClosed;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Round trip of the last answered ping in milliseconds, or null. */
  get lastPingMs(): number | null {
    return this.#liveness.lastPingMs;
  }

  /**
   * Sends a report now, or as soon as the link is open; only the latest one counts. Reports in quick succession
   * become one: the gateway ends a link that sends too many lines.
   */
  report(report: NodeReport): void {
    this.#report = conformReport(report);
    if (this.#reportTimer === null) this.#sendReport();
  }

  /**
   * Asks the gateway for no more attempts and waits for the running ones, at most `drainMs`; then the link ends.
   * Resolves when it is closed.
   */
  drain(drainMs = DRAIN_MS): Promise<void> {
    if (!this.#isClosed && !this.#isDraining) {
      this.#isDraining = true;
      this.#control.send({ type: "draining" });
      this.#drainTimer = this.#clock.after(drainMs, () => this.#end("the time to drain ran out"));
      this.#closeIfIdle();
    }
    return this.#closed.promise;
  }

  /** Ends the link and every attempt on it. Resolves when the socket is gone. */
  close(detail: string): Promise<void> {
    this.#end(detail);
    return this.#closed.promise;
  }

  #sendReport(): void {
    if (this.#report === null || !this.#isOpen || this.#isClosed) return;
    const sent = this.#report;
    this.#control.send({ type: "report", report: sent });
    this.#reportTimer = this.#clock.after(REPORT_INTERVAL_MS, () => {
      this.#reportTimer = null;
      if (this.#report !== sent) this.#sendReport();
    });
  }

  #onOpen(): void {
    this.#isOpen = true;
    this.#sendReport();
    if (this.#isDraining) this.#control.send({ type: "draining" });
    this.#openTimer.cancel();
    this.#options.events.onOpen();
  }

  #onStream(id: number, payload: Buffer, isLast: boolean): void {
    const head = readRequestHead(payload);
    if (head === null || isLast !== (head.bodyBytes === 0)) return this.#session.violate("an unacceptable request");
    if (head.path === PROBE_PATH) return ownAnswer(this.#session, id, isLast, 200, "ok");
    if (head.path === ENGINE_PROBE_PATH) {
      const answer = answerEngineProbe(head.headers[ENGINE_HEADER] ?? "", this.#options.onEngineProbe ?? nobody);
      return ownAnswerLater(this.#session, id, isLast, answer);
    }
    if (head.path.startsWith("/.postern/")) return ownAnswer(this.#session, id, isLast, 404, "");
    const isFull = this.#running.size >= this.#capacity;
    const attempt = new Attempt(head, this.#options.budget, (ended) => {
      this.#running.delete(ended);
      if (this.#isDraining) this.#closeIfIdle();
    });
    this.#running.add(attempt);
    attempt.begin(this.#session.accept(id, isLast, attempt), isFull);
    if (attempt.isOver) return;
    try {
      this.#options.onAttempt(attempt);
    } catch {
      attempt.fail("protocol", "the agent failed on the request");
    }
  }

  // The gateway ends a draining link once it has the last answer; this is for one that does not.
  #closeIfIdle(): void {
    if (this.#running.size > 0 || this.#isClosed) return;
    this.#drainTimer?.cancel();
    this.#drainTimer = this.#clock.after(CLOSE_GRACE_MS * 5, () => this.#end("drained"));
  }

  #end(detail: string, graceMs: number = CLOSE_GRACE_MS): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#control.silence();
    this.#liveness.stop();
    this.#drainTimer?.cancel();
    this.#openTimer.cancel();
    this.#reportTimer?.cancel();
    if (this.#carrier.closed) this.#closed.resolve();
    else this.#carrier.once("close", () => this.#closed.resolve());
    this.#session.end(detail, graceMs);
    this.#options.events.onClosed(detail);
  }
}

/** Of an agent that has no engines to ask. */
const nobody: AskEngine = async () => null;
