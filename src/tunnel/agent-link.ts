import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import type { Clock, Timer } from "../lib/clock.ts";
import { LiveSet } from "../lib/live-set.ts";
import { CONTROL_PATH, DRAIN_MS, HANDSHAKE_TIMEOUT_MS, PROBE_PATH } from "./constants.ts";
import { type AgentMessage, ControlChannel, type GatewayMessage, readGatewayLine } from "./control.ts";
import type { NodeReport } from "./link.ts";
import { Liveness } from "./liveness.ts";
import { conformReport } from "./report.ts";
import { Attempt, type AttemptHandler, answerEmpty, answerProbe, type BodyBudget, refuseStream } from "./serve.ts";
import { endSession } from "./session.ts";

/** How long a polite end of the session may take before the socket is destroyed. */
const CLOSE_GRACE_MS = 1_000;
/** Least time between two reports on one link. */
const REPORT_INTERVAL_MS = 250;

/** What the agent's end of a link is made of. */
export interface AgentLinkOptions {
  session: ServerHttp2Session;
  carrier: Duplex;
  capacity: number;
  budget: BodyBudget;
  onAttempt: AttemptHandler;
  clock: Clock;
  events: {
    /** The control stream is open; reports sent before are on their way. */
    onOpen(): void;
    onMessage(message: GatewayMessage): void;
    /** Once, for whatever reason. */
    onClosed(detail: string): void;
  };
}

/** A link, seen from the agent: serves HTTP/2 on the socket it dialled. */
export class AgentLink {
  readonly #session: ServerHttp2Session;
  readonly #carrier: Duplex;
  readonly #clock: Clock;
  readonly #options: AgentLinkOptions;
  readonly #liveness: Liveness;
  readonly #running = new LiveSet<Attempt>();
  readonly #closed = Promise.withResolvers<void>();
  #control: ControlChannel<AgentMessage, GatewayMessage> | null = null;
  #report: NodeReport | null = null;
  #isDraining = false;
  #isClosed = false;
  #drainTimer: Timer | null = null;
  #reportTimer: Timer | null = null;
  readonly #openTimer: Timer;

  constructor(options: AgentLinkOptions) {
    this.#options = options;
    this.#session = options.session;
    this.#carrier = options.carrier;
    this.#clock = options.clock;
    this.#liveness = new Liveness(this.#session, this.#clock, (state) => {
      if (state === "dead") this.#end("no answer to pings", 0);
    });
    this.#session.on("stream", (stream, headers) => this.#onStream(stream, headers));
    this.#session.on("error", (error) => this.#end(error.message));
    this.#session.on("close", () => this.#end("the session closed"));
    this.#session.on("goaway", (code) => {
      if (code !== 0) this.#end(`the gateway ended the session with code ${code}`);
    });
    this.#carrier.on("end", () => this.#end("the gateway closed the connection"));
    this.#carrier.on("close", () => this.#end("the connection closed"));
    this.#carrier.on("lost", () => this.#end("the WebSocket closed"));
    this.#carrier.on("error", () => {});
    this.#openTimer = this.#clock.after(HANDSHAKE_TIMEOUT_MS, () => this.#end("the gateway opened no control stream"));
    this.#liveness.start();
  }

  /** Attempts that run now. */
  get running(): number {
    return this.#running.size;
  }

  /** Whether the gateway has opened the control stream and the link has not ended. */
  get isOpen(): boolean {
    return this.#control !== null && !this.#isClosed;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Round trip of the last answered ping in milliseconds, or null. */
  get lastPingMs(): number | null {
    return this.#liveness.lastPingMs;
  }

  /**
   * Sends a report now, or as soon as the control stream is open; only the latest one counts. Reports in quick succession
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
      this.#control?.send({ type: "draining" });
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
    if (this.#report === null || this.#control === null || this.#isClosed) return;
    const sent = this.#report;
    this.#control.send({ type: "report", report: sent });
    this.#reportTimer = this.#clock.after(REPORT_INTERVAL_MS, () => {
      this.#reportTimer = null;
      if (this.#report !== sent) this.#sendReport();
    });
  }

  #onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const path = headers[":path"] ?? "";
    if (path === PROBE_PATH) return answerProbe(stream);
    if (path === CONTROL_PATH) return this.#openControl(stream);
    if (path.startsWith("/.postern/")) return answerEmpty(stream, 404);
    if (this.#running.size >= this.#options.capacity) return refuseStream(stream);
    const attempt = new Attempt(stream, headers, this.#options.budget, () => {
      this.#running.delete(attempt);
      if (this.#isDraining) this.#closeIfIdle();
    });
    this.#running.add(attempt);
    try {
      this.#options.onAttempt(attempt);
    } catch {
      attempt.fail("protocol", "the agent failed on the request");
    }
  }

  #openControl(stream: ServerHttp2Stream): void {
    if (this.#control !== null) return answerEmpty(stream, 409);
    stream.respond({ ":status": 200, "content-type": "application/x-ndjson" });
    this.#control = new ControlChannel(stream, this.#clock, readGatewayLine, {
      onMessage: (message) => {
        if (message.type === "unsupported") return this.#end(`the gateway does not know "${message.of}"`);
        this.#options.events.onMessage(message);
      },
      onTrouble: (trouble) => this.#end(`control stream: ${trouble}`),
    });
    this.#sendReport();
    if (this.#isDraining) this.#control.send({ type: "draining" });
    this.#openTimer.cancel();
    this.#options.events.onOpen();
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
    this.#control?.silence();
    this.#liveness.stop();
    this.#drainTimer?.cancel();
    this.#openTimer.cancel();
    this.#reportTimer?.cancel();
    for (const attempt of this.#running.all()) attempt.abandon();
    if (this.#carrier.closed) this.#closed.resolve();
    else this.#carrier.once("close", () => this.#closed.resolve());
    endSession(this.#session, this.#carrier, this.#clock, graceMs);
    this.#options.events.onClosed(detail);
  }
}
