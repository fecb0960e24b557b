import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import type { Clock, Timer } from "../lib/clock.ts";
import type { Exchange, ExchangeHandler, ExchangeRequest } from "../lib/exchange.ts";
import { LiveSet } from "../lib/live-set.ts";
import { CONTROL_PATH, DEFAULT_CAPACITY, DRAIN_MS, RESERVED_STREAMS, STREAMS_PER_LINK } from "./constants.ts";
import { type AgentMessage, ControlChannel, type GatewayMessage, readAgentLine } from "./control.ts";
import type { Link, LinkCloseReason, LinkId, LinkState, LinkStats, NodeReport } from "./link.ts";
import { Liveness, sendPing } from "./liveness.ts";
import { Prober } from "./probe.ts";
import { endSession } from "./session.ts";
import { type ExchangeOwner, StreamExchange } from "./stream-exchange.ts";

/** How long a polite end of the session may take before the socket is destroyed. */
const CLOSE_GRACE_MS = 1_000;
/** Default limit of `ping`. */
const PING_TIMEOUT_MS = 10_000;

/** What a link is made of. */
export interface H2LinkOptions {
  id: LinkId;
  session: ClientHttp2Session;
  carrier: Duplex;
  carrierKind: "h2" | "websocket";
  remoteAddress: string;
  clock: Clock;
  events: H2LinkEvents;
  /** Default `STREAMS_PER_LINK`. */
  streamsLimit?: number;
}

/** What a link tells its registry. */
export interface H2LinkEvents {
  onReady(link: H2Link): void;
  onReport(link: H2Link, report: NodeReport): void;
  /** The state changed in any way but to `closed`. */
  onState(link: H2Link): void;
  onClosed(link: H2Link, reason: LinkCloseReason, detail: string): void;
}

/**
 * A link over HTTP/2: the gateway's end.
 *
 * `probing` until the agent's settings came and a probe was answered, then `ready`; `suspect` while pings or probes go
 * unanswered; `draining` when either end wants to leave; `closed` once, for ever.
 */
export class H2Link implements Link, ExchangeOwner {
  readonly id: LinkId;
  readonly remoteAddress: string;
  readonly carrier: "h2" | "websocket";
  readonly connectedAtMs: number;
  /** Counted by exchanges; part of `stats()`. */
  bytesIn = 0;
  readonly #session: ClientHttp2Session;
  readonly #socket: Duplex;
  readonly #clock: Clock;
  readonly #events: H2LinkEvents;
  readonly #liveness: Liveness;
  readonly #prober: Prober;
  readonly #control: ControlChannel<GatewayMessage, AgentMessage>;
  readonly #streamsLimit: number;
  readonly #running = new LiveSet<StreamExchange>();
  #state: LinkState = "probing";
  #capacity = 0;
  #streamsActive = 0;
  #streamsTotal = 0;
  #bytesOut = 0;
  #isPingLate = false;
  #toldModels = "";
  #drainTimer: Timer | null = null;
  #closed = Promise.withResolvers<void>();
  readonly #waitingPings = new Set<(error: Error) => void>();

  constructor(options: H2LinkOptions) {
    const { session, clock } = options;
    this.id = options.id;
    this.remoteAddress = options.remoteAddress;
    this.carrier = options.carrierKind;
    this.connectedAtMs = clock.nowMs();
    this.#session = session;
    this.#socket = options.carrier;
    this.#clock = clock;
    this.#streamsLimit = options.streamsLimit ?? STREAMS_PER_LINK;
    this.#events = options.events;
    this.#liveness = new Liveness(session, clock, (state) => {
      if (state === "dead") return this.#end("dead", "no answer to pings");
      this.#isPingLate = state === "suspect";
      if (!this.#isPingLate) this.#prober.hurry();
      this.#settle();
    });
    this.#prober = new Prober(session, clock, {
      onChange: () => this.#settle(),
      onDead: () => this.#end("dead", "no answer to probes"),
    });
    session.on("error", (error) => this.#end("peer", messageOf(error)));
    session.on("close", () => this.#end("peer", "the session closed"));
    session.on("goaway", (code) => this.#onGoaway(code));
    // A socket that the HTTP server accepted is half-open by default and would outlive its peer's end.
    this.#socket.on("end", () => this.#end("peer", "the agent closed the connection"));
    this.#socket.on("close", () => this.#end("peer", "the connection closed"));
    this.#socket.on("lost", () => this.#end("peer", "the WebSocket closed"));
    this.#socket.on("error", () => {});
    this.#control = this.#openControl();
    // Before the settings Node assumes 100 streams, and a request could meet a refusal that means nothing.
    session.once("remoteSettings", (settings) => {
      this.#capacity = Math.max(0, (settings.maxConcurrentStreams ?? DEFAULT_CAPACITY) - RESERVED_STREAMS);
      this.#prober.start();
    });
    this.#liveness.start();
  }

  get state(): LinkState {
    return this.#state;
  }

  /** Streams that run attempts now. Cheaper than `stats()`: read for every choice of a link. */
  get streamsActive(): number {
    return this.#streamsActive;
  }

  canAccept(): boolean {
    return this.#state === "ready" && this.#streamsActive < this.#capacity;
  }

  start(request: ExchangeRequest, handler: ExchangeHandler): Exchange {
    if (!this.canAccept()) return failLater(handler, "the link takes no attempts now");
    const { body } = request;
    const headers: string[] = [":method", request.method, ":path", request.path];
    for (const name in request.headers) headers.push(name, request.headers[name] ?? "");
    if (body !== null) headers.push("content-length", String(body.length));
    let stream: ClientHttp2Stream;
    try {
      stream = this.#session.request(headers, { endStream: body === null });
    } catch (error) {
      return failLater(handler, messageOf(error));
    }
    this.#streamsActive += 1;
    this.#streamsTotal += 1;
    if (this.#streamsTotal === this.#streamsLimit) setImmediate(() => void this.drain());
    const exchange = new StreamExchange(stream, this, handler);
    this.#running.add(exchange);
    if (body !== null) {
      this.#bytesOut += body.length;
      stream.end(body);
    }
    return exchange;
  }

  onExchangeEnd(exchange: StreamExchange): void {
    this.#running.delete(exchange);
    this.#streamsActive -= 1;
    if (this.#streamsActive === 0 && this.#state === "draining") this.#closePolitely();
  }

  ping(timeoutMs = PING_TIMEOUT_MS): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const fail = (error: Error) => {
      timer.cancel();
      this.#waitingPings.delete(fail);
      reject(error);
    };
    const timer = this.#clock.after(timeoutMs, () => fail(new Error("Cannot ping the link: no answer in time")));
    this.#waitingPings.add(fail);
    const isSent = sendPing(this.#session, (roundTripMs) => {
      timer.cancel();
      this.#waitingPings.delete(fail);
      resolve(roundTripMs);
    });
    if (!isSent) fail(new Error("Cannot ping the link: it is closed or does not answer"));
    return promise;
  }

  drain(drainMs = DRAIN_MS): Promise<void> {
    if (this.#state !== "closed" && this.#state !== "draining") {
      this.#control.send({ type: "drain", reason: "the gateway drains this link", spreadMs: 1000 });
      this.#startDraining(drainMs);
    }
    return this.#closed.promise;
  }

  close(reason: LinkCloseReason): Promise<void> {
    if (this.#state !== "closed") {
      this.#control.send({ type: "bye", reason, permanent: reason === "removed", retryAfterSeconds: 0 });
      this.#end(reason, "closed by the gateway");
    }
    return this.#closed.promise;
  }

  stats(): LinkStats {
    return {
      streamsActive: this.#streamsActive,
      streamsTotal: this.#streamsTotal,
      bytesIn: this.bytesIn,
      bytesOut: this.#bytesOut,
      lastPingMs: this.#liveness.lastPingMs,
    };
  }

  /** Tells the agent which models it may serve, if that is not what it heard last. */
  tellModels(granted: string[], refused: Array<{ name: string; reason: string }>): void {
    const message: GatewayMessage = { type: "models", granted, refused };
    const text = JSON.stringify(message);
    if (text === this.#toldModels) return;
    this.#toldModels = text;
    this.#control.send(message);
  }

  #openControl(): ControlChannel<GatewayMessage, AgentMessage> {
    const stream = this.#session.request({ ":method": "POST", ":path": CONTROL_PATH }, { endStream: false });
    stream.once("response", (headers) => {
      if (headers[":status"] !== 200) this.#end("protocol", "the agent refused the control stream");
    });
    return new ControlChannel(stream, this.#clock, readAgentLine, {
      onMessage: (message) => {
        switch (message.type) {
          case "report":
            return this.#events.onReport(this, message.report);
          case "draining":
            return this.#startDraining(DRAIN_MS);
          case "unsupported":
            return this.#end("protocol", `the agent does not know "${message.of}": ${message.hint}`);
          default:
            return message satisfies never;
        }
      },
      onTrouble: (trouble) => {
        // While draining, the agent's end of the control stream may close first.
        if (trouble === "ended" && this.#state === "draining") return;
        // It ends, too, because everything does.
        this.#end(this.#session.destroyed ? "peer" : "protocol", `control stream: ${trouble}`);
      },
    });
  }

  /** Brings the state in line with what pings and probes say. */
  #settle(): void {
    if (this.#state === "closed" || this.#state === "draining") return;
    if (this.#state === "probing" && !this.#prober.isAnswered) return;
    const next = this.#isPingLate || this.#prober.isFailing ? "suspect" : "ready";
    if (next === this.#state) return;
    const isFirst = this.#state === "probing";
    this.#state = next;
    this.#events.onState(this);
    if (isFirst) this.#events.onReady(this);
  }

  #onGoaway(code: number): void {
    if (code !== 0) return this.#end("peer", `the agent ended the session with code ${code}`);
    this.#startDraining(DRAIN_MS);
  }

  #startDraining(drainMs: number): void {
    if (this.#state === "closed" || this.#state === "draining") return;
    this.#state = "draining";
    this.#prober.stop();
    this.#events.onState(this);
    if (this.#streamsActive === 0) return this.#closePolitely();
    this.#drainTimer = this.#clock.after(drainMs, () => this.#end("drained", "the time to drain ran out"));
  }

  #closePolitely(): void {
    this.#drainTimer?.cancel();
    this.#control.send({ type: "bye", reason: "drained", permanent: false, retryAfterSeconds: 0 });
    this.#end("drained", "no attempts left");
  }

  #end(reason: LinkCloseReason, detail: string): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#control.silence();
    this.#prober.stop();
    this.#liveness.stop();
    this.#drainTimer?.cancel();
    for (const fail of [...this.#waitingPings]) fail(new Error("Cannot ping the link: it closed"));
    for (const exchange of this.#running.all()) exchange.abandon(`the link closed (${reason})`);
    const onGone = () => this.#closed.resolve();
    if (this.#socket.closed) onGone();
    else this.#socket.once("close", onGone);
    endSession(this.#session, this.#socket, this.#clock, reason === "dead" ? 0 : CLOSE_GRACE_MS);
    this.#events.onClosed(this, reason, detail);
  }
}

/** An exchange that never was: the failure arrives after `start` returned, unless it is cancelled before. */
function failLater(handler: ExchangeHandler, detail: string): Exchange {
  let isCancelled = false;
  process.nextTick(() => {
    if (!isCancelled) handler.onFailure({ phase: "connect", kind: "refused", detail });
  });
  return {
    pause() {},
    resume() {},
    cancel() {
      isCancelled = true;
    },
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
