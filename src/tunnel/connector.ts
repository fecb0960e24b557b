import { PosternError } from "../errors.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { AgentLink } from "./agent-link.ts";
import { Backoff } from "./backoff.ts";
import { CarrierChoice, type CarrierKind } from "./carrier-choice.ts";
import { DEFAULT_CAPACITY, DEFAULT_LINKS, DIRECT_RETRY_MS, DRAIN_MS, MAX_LINKS } from "./constants.ts";
import type { GatewayMessage } from "./control.ts";
import { type Dialled, dial } from "./dial.ts";
import type { DialFailure } from "./dial-failure.ts";
import type { AskEngine } from "./engine-probe.ts";
import type { Acceptance } from "./handshake.ts";
import type { Identity } from "./identity.ts";
import type { NodeReport } from "./link.ts";
import { type ProxyEnvironment, proxyFor } from "./proxy-connect.ts";
import { type AttemptHandler, BodyBudget } from "./serve.ts";

export interface ConnectorOptions {
  /** See `DialOptions`. */
  url: URL;
  gatewayFingerprint: string;
  identity: Identity;
  ca?: string | Buffer;
  /** Where `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` are read. Default: none. */
  environment?: ProxyEnvironment;
  agentVersion: string;
  tables: { operations: number; fields: number };
  /** Links to keep alive. Default 2, at most 4. */
  links?: number;
  /** Attempts taken at once on each link. Default 1,024. */
  capacity?: number;
  /** Bounds on request bodies in collection. */
  budget?: BodyBudget;
  /**
   * Gives a number greater than `floor` and than any it ever gave, and has written it down before it resolves: the
   * epoch orders the links of this connector, across restarts, without a clock.
   */
  nextEpoch(floor: number): Promise<number>;
  onAttempt: AttemptHandler;
  /** Asks an engine of this node how it is. Left out: there is none. */
  onEngineProbe?: AskEngine;
  clock: Clock;
  /** In [0, 1). Default `Math.random`. */
  random?: () => number;
  events?: ConnectorEvents;
}

/** What a connector tells the agent. None of them may throw. */
export interface ConnectorEvents {
  onState?(state: ConnectorState): void;
  /** A dial failed and will be repeated after `waitMs`. */
  onDialFailure?(failure: DialFailure, waitMs: number): void;
  onLinkOpen?(slot: number, carrier: CarrierKind, acceptance: Acceptance): void;
  onLinkClosed?(slot: number, detail: string): void;
  /** The gateway's identity was rotated: remember this fingerprint instead. */
  onGatewayFingerprint?(fingerprint: string): void;
  /** Which reported models may be used. */
  /** The gateway wants a machine on this network woken. */
  onWake?(mac: string): void;
  onModels?(granted: string[], refused: Array<{ name: string; reason: string }>): void;
}

/** `failed` is for good: `error` says what a person has to do. */
export type ConnectorState =
  | { name: "connecting" }
  | { name: "connected"; links: number }
  | { name: "draining" }
  | { name: "stopped" }
  | { name: "failed"; error: PosternError };

interface Slot {
  readonly index: number;
  readonly backoff: Backoff;
  /** The link in use, once the gateway has opened it. */
  link: AgentLink | null;
  carrier: CarrierKind;
  timer: Timer | null;
  isDialling: boolean;
}

/**
 * Keeps the agent's links to one gateway alive: dials, backs off, falls back to WebSocket, replaces a link before the
 * gateway takes it away, and drains.
 */
export class Connector {
  readonly #options: ConnectorOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #budget: BodyBudget;
  readonly #carriers = new CarrierChoice();
  readonly #slots: Slot[];
  /** Every open connection, draining ones included. */
  readonly #links = new Set<AgentLink>();
  readonly #dials = new Set<Promise<void>>();
  readonly #abort = new AbortController();
  #report: NodeReport | null = null;
  #state: ConnectorState = { name: "connecting" };
  #epochFloor = 0;
  #directTimer: Timer | null = null;

  constructor(options: ConnectorOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#random = options.random ?? Math.random;
    this.#budget = options.budget ?? new BodyBudget();
    const count = Math.min(MAX_LINKS, Math.max(1, options.links ?? DEFAULT_LINKS));
    this.#slots = Array.from({ length: count }, (_, index) => ({
      index,
      backoff: new Backoff(this.#random),
      link: null,
      carrier: "direct",
      timer: null,
      isDialling: false,
    }));
  }

  get state(): ConnectorState {
    return this.#state;
  }

  /** Attempts that run now on all links. */
  get running(): number {
    let sum = 0;
    for (const link of this.#links) sum += link.running;
    return sum;
  }

  /** Starts dialling. The first link is dialled alone; the others follow once it is up or has failed once. */
  start(): void {
    const [first, ...others] = this.#slots;
    if (first === undefined) return;
    void this.#dial(first).then(() => {
      for (const slot of others) this.#dialAfter(slot, 0);
    });
    this.#directTimer = this.#clock.after(DIRECT_RETRY_MS / 6, () => this.#retryDirect());
  }

  /** Sends the report on every link, now and on those to come. Send a new one after each change. */
  report(report: NodeReport): void {
    this.#report = report;
    for (const link of this.#links) if (!link.isDraining) link.report(report);
  }

  /** Takes no more attempts, lets running ones finish for at most `drainMs`, then stops. For SIGTERM. */
  async drain(drainMs = DRAIN_MS): Promise<void> {
    if (this.#isOver()) return;
    this.#halt();
    this.#setState({ name: "draining" });
    await Promise.all([...this.#links].map((link) => link.drain(drainMs)));
    this.#setState({ name: "stopped" });
  }

  /** Ends everything at once. Resolves when all sockets are gone. */
  async stop(): Promise<void> {
    this.#halt();
    if (this.#state.name !== "failed") this.#setState({ name: "stopped" });
    await Promise.all([...[...this.#links].map((link) => link.close("the agent stops")), ...this.#dials]);
  }

  #dial(slot: Slot): Promise<void> {
    const dialling = this.#dialOnce(slot).finally(() => this.#dials.delete(dialling));
    this.#dials.add(dialling);
    return dialling;
  }

  async #dialOnce(slot: Slot): Promise<void> {
    if (this.#isOver() || slot.isDialling || slot.link !== null) return;
    slot.isDialling = true;
    const kind = this.#carriers.choose(this.#hasDirectSibling(slot), this.#clock.monotonicMs());
    try {
      const epoch = await this.#options.nextEpoch(this.#epochFloor);
      const { url, identity, agentVersion, tables, ca } = this.#options;
      const result = await dial(
        {
          url,
          identity,
          agentVersion,
          tables,
          ...(ca === undefined ? {} : { ca }),
          gatewayFingerprint: this.#options.gatewayFingerprint,
          proxy: proxyFor(url, this.#options.environment ?? {}),
          slot: slot.index,
          epoch,
          attempt: slot.backoff.failures,
          clock: this.#clock,
          signal: this.#abort.signal,
        },
        kind,
      );
      slot.isDialling = false;
      if (result.ok) this.#onDialled(slot, kind, result.value);
      else this.#onDialFailure(slot, kind, result.failure);
    } catch (error) {
      // The epoch could not be written down, or the proxy setting is wrong: no dial happened.
      slot.isDialling = false;
      this.#fail(
        error instanceof PosternError
          ? error
          : new PosternError("data_folder", { message: "Cannot write the agent's state", cause: error }),
      );
    }
  }

  #onDialled(slot: Slot, kind: CarrierKind, dialled: Dialled): void {
    const { carrier, acceptance } = dialled;
    if (this.#isOver()) {
      carrier.destroy();
      return;
    }
    if (dialled.gatewayFingerprint !== this.#options.gatewayFingerprint) {
      this.#options.events?.onGatewayFingerprint?.(dialled.gatewayFingerprint);
    }
    const capacity = this.#options.capacity ?? DEFAULT_CAPACITY;
    const openedAtMs = this.#clock.monotonicMs();
    let isOpen = false;
    let waitMs = 0;
    const link = new AgentLink({
      carrier,
      capacity,
      budget: this.#budget,
      onAttempt: this.#options.onAttempt,
      onEngineProbe: this.#options.onEngineProbe,
      clock: this.#clock,
      events: {
        onOpen: () => {
          isOpen = true;
          this.#carriers.onSuccess(kind);
          this.#options.events?.onLinkOpen?.(slot.index, kind, acceptance);
          this.#settle();
        },
        onMessage: (message) => {
          if (message.type === "bye") waitMs = message.retryAfterSeconds * 1000;
          this.#onMessage(slot, link, message);
        },
        onClosed: (detail) => {
          this.#links.delete(link);
          if (!isOpen) this.#carriers.onFailure(kind, false, this.#clock.monotonicMs());
          slot.backoff.onLinkEnd(this.#clock.monotonicMs() - openedAtMs);
          this.#options.events?.onLinkClosed?.(slot.index, detail);
          if (slot.link !== link) return;
          slot.link = null;
          this.#settle();
          this.#dialAfter(slot, slot.backoff.next(waitMs));
        },
      },
    });
    slot.link = link;
    slot.carrier = kind;
    this.#links.add(link);
    if (this.#report !== null) link.report(this.#report);
  }

  #onDialFailure(slot: Slot, kind: CarrierKind, failure: DialFailure): void {
    if (this.#isOver()) return;
    if (failure.permanent) return this.#fail(failure.error);
    this.#epochFloor = Math.max(this.#epochFloor, failure.epochFloor ?? 0);
    const isAboutCarrier = failure.stage === "upgrade" && failure.retryAfterMs === 0 && failure.epochFloor === null;
    if (isAboutCarrier) this.#carriers.onFailure(kind, failure.isUpgradeBlocked, this.#clock.monotonicMs());
    const waitMs = slot.backoff.next(failure.retryAfterMs);
    this.#options.events?.onDialFailure?.(failure, waitMs);
    this.#dialAfter(slot, waitMs);
  }

  #onMessage(slot: Slot, link: AgentLink, message: GatewayMessage): void {
    switch (message.type) {
      case "drain":
        return this.#replace(slot, link, Math.round(this.#random() * message.spreadMs));
      case "wake":
        this.#options.events?.onWake?.(message.mac);
        return;
      case "models":
        this.#options.events?.onModels?.(message.granted, message.refused);
        return;
      case "bye":
        if (message.permanent) {
          this.#fail(
            new PosternError("connector_refused", {
              message: "The gateway has removed this node",
              hint: "Invite it again with `postern nodes invite` on the gateway.",
            }),
          );
        }
        return;
      case "unsupported":
        return;
      default:
        message satisfies never;
    }
  }

  /** Dials a new link for the slot while the old one finishes what it runs. */
  #replace(slot: Slot, link: AgentLink, waitMs: number): void {
    if (slot.link !== link) return;
    slot.link = null;
    void link.drain();
    this.#settle();
    this.#dialAfter(slot, waitMs);
  }

  /** When links have run over WebSocket for an hour, one of them is replaced by a direct dial. */
  #retryDirect(): void {
    this.#directTimer = this.#clock.after(DIRECT_RETRY_MS / 6, () => this.#retryDirect());
    if (!this.#carriers.isDirectDue(this.#clock.monotonicMs())) return;
    const slot = this.#slots.find((one) => one.link !== null && one.carrier === "websocket");
    if (slot?.link) this.#replace(slot, slot.link, 0);
  }

  #dialAfter(slot: Slot, waitMs: number): void {
    if (this.#isOver()) return;
    slot.timer?.cancel();
    slot.timer = this.#clock.after(waitMs, () => void this.#dial(slot));
  }

  #hasDirectSibling(slot: Slot): boolean {
    return this.#slots.some((other) => other !== slot && other.link !== null && other.carrier === "direct");
  }

  #settle(): void {
    if (this.#isOver()) return;
    const links = this.#slots.filter((slot) => slot.link?.isOpen).length;
    this.#setState(links === 0 ? { name: "connecting" } : { name: "connected", links });
  }

  #setState(state: ConnectorState): void {
    this.#state = state;
    this.#options.events?.onState?.(state);
  }

  #fail(error: PosternError): void {
    if (this.#isOver()) return;
    this.#halt();
    this.#setState({ name: "failed", error });
    for (const link of this.#links) void link.close(error.code);
  }

  #halt(): void {
    this.#abort.abort();
    this.#directTimer?.cancel();
    for (const slot of this.#slots) slot.timer?.cancel();
  }

  #isOver(): boolean {
    return this.#abort.signal.aborted;
  }
}
