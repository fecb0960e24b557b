import type { Duplex } from "node:stream";
import type { Clock, Timer } from "../lib/clock.ts";
import type { Exchange, ExchangeHandler, ExchangeRequest } from "../lib/exchange.ts";
import type { CarrierKind } from "./carrier-choice.ts";
import { ANSWER_WINDOW_BYTES, DRAIN_MS, RESERVED_STREAMS } from "./constants.ts";
import { type AgentMessage, ControlChannel, type GatewayMessage, readAgentLine } from "./control.ts";
import type { Link, LinkCloseReason, LinkId, LinkState, LinkStats, NodeReport } from "./link.ts";
import { Liveness } from "./liveness.ts";
import { Prober } from "./probe.ts";
import { Session } from "./session.ts";
import { type ExchangeOwner, startExchange } from "./stream-exchange.ts";

/** How long a polite end of the session may take before the socket is destroyed. */
const CLOSE_GRACE_MS = 1_000;
/** Default limit of `ping`. */
const PING_TIMEOUT_MS = 10_000;

/** What a link is made of. */
export interface GatewayLinkOptions {
  id: LinkId;
  carrier: Duplex;
  carrierKind: CarrierKind;
  remoteAddress: string;
  clock: Clock;
  events: GatewayLinkEvents;
}

/** What a link tells its registry. */
export interface GatewayLinkEvents {
  onReady(link: GatewayLink): void;
  onReport(link: GatewayLink, report: NodeReport): void;
  /** The state changed in any way but to `closed`. */
  onState(link: GatewayLink): void;
  onClosed(link: GatewayLink, reason: LinkCloseReason, detail: string): void;
}

/**
 * The gateway's end of a link.
 *
 * `probing` until the agent's settings came and a probe was answered, then `ready`; `suspect` while pings or probes go
 * unanswered; `draining` when either end wants to leave; `closed` once, for ever.
 */
export class GatewayLink implements Link, ExchangeOwner {
  readonly id: LinkId;
  readonly remoteAddress: string;
  readonly carrier: CarrierKind;
  readonly connectedAtMs: number;
  /** Counted by exchanges; part of `stats()`. */
  bytesIn = 0;
  bytesOut = 0;
  readonly #session: Session;
  readonly #socket: Duplex;
  readonly #clock: Clock;
  readonly #events: GatewayLinkEvents;
  readonly #liveness: Liveness;
  readonly #prober: Prober;
  readonly #control: ControlChannel<GatewayMessage, AgentMessage>;
  #state: LinkState = "probing";
  #capacity = 0;
  #streamsActive = 0;
  #streamsTotal = 0;
  #isPingLate = false;
  #toldModels = "";
  #drainTimer: Timer | null = null;
  #closed = Promise.withResolvers<void>();
  readonly #waitingPings = new Set<(error: Error) => void>();

  constructor(options: GatewayLinkOptions) {
    const { clock, carrier } = options;
    this.id = options.id;
    this.remoteAddress = options.remoteAddress;
    this.carrier = options.carrierKind;
    this.connectedAtMs = clock.nowMs();
    this.#socket = carrier;
    this.#clock = clock;
    this.#events = options.events;
    this.#session = new Session({
      carrier,
      clock,
      windowBytes: ANSWER_WINDOW_BYTES,
      capacity: 0,
      events: {
        onSettings: (capacity) => {
          this.#capacity = Math.max(0, capacity - RESERVED_STREAMS);
          this.#prober.start();
        },
        onControl: (line) => this.#control.receive(line),
        onOpen: () => this.#end("protocol", "a stream of the agent's own"),
        onOver: (reason, detail) => this.#end(reason, detail),
      },
    });
    this.#liveness = new Liveness(this.#session, clock, (state) => {
      if (state === "dead") return this.#end("dead", "no answer to pings");
      this.#isPingLate = state === "suspect";
      if (!this.#isPingLate) this.#prober.hurry();
      this.#settle();
    });
    this.#prober = new Prober(this.#session, clock, {
      onChange: () => this.#settle(),
      onDead: () => this.#end("dead", "no answer to probes"),
    });
    this.#control = this.#makeControl();
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
    const exchange = startExchange(this.#session, request, this, handler);
    if (exchange === null) return failLater(handler, "the link has no stream left");
    this.#streamsActive += 1;
    this.#streamsTotal += 1;
    return exchange;
  }

  onExchangeEnd(): void {
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
    const isSent = this.#session.ping((roundTripMs) => {
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
      bytesOut: this.bytesOut,
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

  /** Asks the agent to wake a machine on its network. Whether it does is its operator's to say; there is no answer. */
  wake(mac: string): void {
    this.#control.send({ type: "wake", mac });
  }

  #makeControl(): ControlChannel<GatewayMessage, AgentMessage> {
    return new ControlChannel((line) => this.#session.control(line), this.#clock, readAgentLine, {
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
      onTrouble: (trouble) => this.#end("protocol", `control channel: ${trouble}`),
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
    const onGone = () => this.#closed.resolve();
    if (this.#socket.closed) onGone();
    else this.#socket.once("close", onGone);
    this.#session.end(`the link closed (${reason})`, reason === "dead" ? 0 : CLOSE_GRACE_MS);
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
