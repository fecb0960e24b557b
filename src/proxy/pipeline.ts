import { Concurrency, type Lease } from "../access/concurrency.ts";
import type { FailureLimiter } from "../access/failure-limiter.ts";
import type { KeyLimits } from "../access/key-limits.ts";
import type { Keyring } from "../access/keyring.ts";
import type { LiveKey } from "../access/live-key.ts";
import type { Places } from "../access/places.ts";
import type { LimitConfig, QueueConfig, TimeoutConfig } from "../config/resolved.ts";
import type { Approvals } from "../continuity/approvals.ts";
import type { ContingencyBook } from "../continuity/contingency-book.ts";
import { classify } from "../dialects/classify.ts";
import { createCodecs } from "../dialects/codecs.ts";
import type { DialectCodec } from "../dialects/dialect.ts";
import { statusFor } from "../dialects/error-body.ts";
import type { FieldPolicy } from "../dialects/field-policy.ts";
import { createFormats, type FormatFor } from "../dialects/formats.ts";
import { readShowRequest } from "../dialects/ollama/show-request.ts";
import { PosternError, toPosternError } from "../errors.ts";
import type { HttpRequest } from "../http1/request.ts";
import type { HttpResponse } from "../http1/response.ts";
import { isLoopbackAddress, sourceOf } from "../lib/address-source.ts";
import type { Clock } from "../lib/clock.ts";
import { scanBody } from "../lib/json-scan.ts";
import { LiveSet } from "../lib/live-set.ts";
import { tokensFromBytes } from "../lib/token-estimate.ts";
import { INLINE_BYTES, INLINE_VALUES, inTurns, Turns } from "../lib/turns.ts";
import type { WaitReason } from "../routing/plan.ts";
import type { TargetHealths } from "../routing/target-health.ts";
import type { Prices } from "../usage/price.ts";
import type { Ledger } from "../usage/record.ts";
import { affinityKey } from "./affinity-key.ts";
import { BodyMemory } from "./body-memory.ts";
import type { Captures } from "./captures.ts";
import { decodeBody } from "./decode-body.ts";
import { checkAddress, findPlace } from "./endpoint.ts";
import type { FaultInjector } from "./fault-injector.ts";
import { type CallerHead, readHead } from "./head.ts";
import { identify, type Origin } from "./identify.ts";
import { KeySteps } from "./key-steps.ts";
import type { ProxyObserver } from "./observer.ts";
import { ownAnswer } from "./own-answers.ts";
import { ownWords } from "./own-words.ts";
import { type PlanForFacts, planFor } from "./plan-for.ts";
import { judgesFor } from "./plan-judges.ts";
import { type AttemptSource, prepareAttempt } from "./prepare-attempt.ts";
import { type HeldBody, readBody } from "./read-body.ts";
import { endByPlace, endByTime } from "./recheck.ts";
import { refuse } from "./refuse.ts";
import { Relay } from "./relay.ts";
import type { RelayPlan } from "./relay-contract.ts";
import { resolveModel, visibleModels } from "./resolve-model.ts";
import { beginRun, familyOfRun, policiesOf, type Run } from "./run.ts";
import { RunHost, type RunHostDeps } from "./run-host.ts";
import { settleLocal } from "./settle.ts";
import { Sweeper } from "./sweeper.ts";
import type { Catalogue, CatalogueEntry, Target } from "./target.ts";
import { makeWaiter } from "./waiter.ts";
import { type QueueDepth, type Waiter, WaitingRoom } from "./waiting-room.ts";

/** What the data plane is made of. Chosen once, at the composition root. */
export interface PipelineDeps {
  clock: Clock;
  keyring: Keyring;
  places: Places;
  failures: FailureLimiter;
  keyLimits: KeyLimits;
  prices: Prices;
  catalogue: Catalogue;
  ledger: Ledger;
  /** What attempts show of targets; shared with whoever else looks at it. */
  health: TargetHealths;
  observer: ProxyObserver;
  /** Null: prompts and answers are never kept. */
  captures: Captures | null;
  limits: LimitConfig;
  timeouts: TimeoutConfig;
  queue: QueueConfig;
  /** Has a sleeping node woken, at most as often as is good; false where nobody can. Asked several times a second. */
  wake(nodeId: string): boolean;
  fields: FieldPolicy;
  faults: FaultInjector;
  /** Whether providers are skipped; see `Contingency.verdict`. */
  contingency: Pick<ContingencyBook, "verdict">;
  /** Whoever decides on one calls `targetsChanged` afterwards. */
  approvals: Approvals;
  /** Longest wait for one. */
  approvalWaitMs: number;
  /** Ids of opt-in operations that are served. */
  optedIn: ReadonlySet<string>;
  /** Makes UUIDv7s. */
  newId: () => string;
  /** From 0 to 1: spreads waits. */
  random: () => number;
}

/**
 * The public data plane: the eleven steps of DESIGN §2 in their order, each in a module of its own.
 *
 * A refusal anywhere answers in the dialect of the path and gives back whatever was reserved before it.
 */
export class Pipeline {
  readonly #deps: PipelineDeps;
  readonly #sweeper: Sweeper;
  readonly #bodies: BodyMemory;
  readonly #key: KeySteps;
  readonly #codecs: ReadonlyMap<string, DialectCodec>;
  readonly #formatFor: FormatFor;
  readonly #runs = new LiveSet<Run>();
  readonly #turns = new Turns();
  readonly #perAddress = new Concurrency();
  readonly #room: WaitingRoom;
  readonly #hostDeps: RunHostDeps;
  #turn = 0;
  #isDraining = false;
  #isStopped = false;
  #onIdle: (() => void) | null = null;

  constructor(deps: PipelineDeps) {
    this.#deps = deps;
    this.#sweeper = new Sweeper(deps.clock);
    this.#bodies = new BodyMemory(deps.limits.bodyMemoryBytes);
    this.#codecs = createCodecs(deps.fields);
    this.#formatFor = createFormats(deps.fields);
    this.#key = new KeySteps(deps, (run, why) => this.#end(run, why));
    const { queue, timeouts, clock } = deps;
    const waitMs = {
      busy: queue.waitMs,
      asleep: queue.wakeMs,
      loading: timeouts.loadingMs,
      approval: deps.approvalWaitMs,
    };
    this.#room = new WaitingRoom({ ...queue, waitMs }, this.#sweeper, () => clock.monotonicMs());
    this.#hostDeps = {
      ...deps,
      sweeper: this.#sweeper,
      room: this.#room,
      keySteps: this.#key,
      answerError: (run, error, further) => this.#answerError(run, error, further),
    };
  }

  /**
   * Serves one request, to its end.
   *
   * @param origin Where it comes from as far as it is known (behind a trusted proxy: what that proxy says).
   */
  handle(request: HttpRequest, response: HttpResponse, origin: Origin): void {
    const run = beginRun(this.#deps.newId(), request, response, origin, this.#deps.clock);
    try {
      const body = this.#beforeBody(run);
      if (body === null) return;
      body
        .then((held) => this.#advance(run, this.#afterBody(run, held)))
        .catch((error: unknown) => this.#refuse(run, error));
    } catch (error) {
      this.#refuse(run, error);
    }
  }

  /** Something about targets has changed: whoever waits for one may go. Cheap when nobody waits. */
  targetsChanged(): void {
    this.#room.targetsChanged();
  }

  /** How many wait for each model. */
  queueDepths(): QueueDepth[] {
    return this.#room.depths();
  }

  get running(): number {
    return this.#runs.size;
  }

  /**
   * Refuses new requests and waits for those that run.
   *
   * @param drainMs After this long what still runs is ended with `shutting_down`.
   */
  async drain(drainMs: number): Promise<void> {
    this.#isDraining = true;
    if (this.#runs.size === 0) return;
    const timer = this.#deps.clock.after(drainMs, () => this.stopAll());
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
    timer.cancel();
  }

  /** Ends everything that runs, telling the callers. */
  stopAll(): void {
    this.#isDraining = true;
    this.#isStopped = true;
    for (const run of this.#runs.all()) run.relay?.stop("shutting_down");
  }

  /** Steps 1 to 5, and the start of 6. Null when the request has its answer. */
  #beforeBody(run: Run): Promise<HeldBody> | null {
    const { request, origin } = run;
    const { places, limits } = this.#deps;
    const arrival = { monotonicMs: run.startedMs, nowMs: run.startedAtMs };
    run.head = readHead(request, limits.headerCount);
    const found = findPlace(places.endpoints, run.head.host, run.target, request.socket.localAddress);
    const { endpoint, target } = found;
    run.endpoint = endpoint;
    run.endpointPolicy = found.policy;
    run.target = target;
    const { operation, modelId } = classify(request.method, target, this.#deps.optedIn);
    run.operation = operation;
    checkAddress(places.rules, origin.address, endpoint.name, arrival.nowMs);
    // A client's "is anybody there", before it has a key to show (Claude Code, Ollama's clients). Tells nothing.
    if (operation.kind === "hello") {
      this.#answerOwn(run, null);
      return null;
    }
    const { key, secretHash, ambient } = identify(request.rawHeaders, origin, endpoint.name, arrival, this.#deps);
    run.key = key;
    run.secretHash = secretHash;
    run.ambient = ambient;
    this.#key.authorise(run, key);
    if (this.#isDraining) throw new PosternError("shutting_down", { retryAfterSeconds: 5 });
    if (operation.method !== "POST") {
      this.#answerOwn(run, modelId === null ? null : resolveModel(modelId, policiesOf(run), this.#deps.catalogue));
      return null;
    }
    if (this.#runs.size >= limits.requests) throw new PosternError("overloaded", { retryAfterSeconds: 2 });
    this.#runs.add(run);
    run.reservations.add(() => this.#forget(run));
    this.#key.admit(run, key, arrival);
    const place = this.#takePlaceOf(origin.address);
    if (place !== null) run.reservations.add(place.release);
    const { coding, contentLength } = run.head;
    if (run.head.expectsContinue && (contentLength ?? 0) <= limits.bodyBytes) {
      run.isAwaited = true;
      run.response.writeContinue();
    }
    const body = readBody(request, contentLength, limits.bodyBytes, this.#bodies, this.#turns, {
      sweeper: this.#sweeper,
      bytesPerSecond: limits.bodyRateBytes,
      limitMs: this.#deps.timeouts.requestBodyMs,
    });
    return coding === null ? body : body.then((held) => decodeBody(held, coding, limits.bodyBytes, this.#bodies));
  }

  /** Null for this machine itself, which stands for whoever comes through a tunnel or a proxy on it. */
  #takePlaceOf(address: string): Lease | null {
    if (isLoopbackAddress(address)) return null;
    const lease = this.#perAddress.acquire(sourceOf(address), this.#deps.limits.requestsPerAddress);
    if (lease === null) {
      throw new PosternError("too_many_requests", {
        message: "Too many requests at once from this address",
        retryAfterSeconds: 1,
        detail: { limit: "requestsPerAddress" },
      });
    }
    return lease;
  }

  /** Goes through the stages of a request. Those of a large one get a turn of the event loop each. */
  #advance(run: Run, stages: Iterator<boolean, void>): void {
    try {
      for (;;) {
        const { done, value: isLarge } = stages.next();
        if (done === true) return;
        if (isLarge) return this.#turns.take(() => this.#advance(run, stages));
      }
    } catch (error) {
      this.#refuse(run, error);
    }
  }

  /** Steps 6 to 10. Yields before each stage whether what comes next is long. */
  *#afterBody(run: Run, body: HeldBody): Generator<boolean, void> {
    run.reservations.add(() => body.release());
    const { limits, timeouts, catalogue, clock } = this.#deps;
    const { operation, endpoint, key, head, response } = run;
    if (operation === null || endpoint === null || key === null || head === null) throw new PosternError("internal");
    const arrivedMs = clock.monotonicMs();
    const requestBytes = body.bytes.length;
    yield requestBytes > INLINE_BYTES;
    if (response.destroyed) return run.reservations.release();
    const codec = this.#codecs.get(operation.id);
    const scan =
      codec?.readBody?.(body.bytes, run.request.header("content-type")) ??
      scanBody(body.bytes, { maxDepth: limits.jsonDepth, maxValues: limits.jsonValues });
    const isLarge = requestBytes > INLINE_BYTES || scan.values > INLINE_VALUES;
    yield isLarge;
    if (operation.kind === "show") {
      const shown = resolveModel(readShowRequest(scan), policiesOf(run), catalogue);
      this.#key.settleOwn(run);
      return this.#answerOwn(run, shown);
    }
    if (codec === undefined) throw new PosternError("internal");
    const facts =
      isLarge && codec.inspectInPieces !== undefined
        ? yield* inTurns(codec.inspectInPieces(scan))
        : codec.inspect(scan);
    yield isLarge;
    const entry = resolveModel(facts.model, policiesOf(run), catalogue);
    run.model = entry.name;
    this.#capture(run, key, body);
    const own = ownWords(operation, scan, facts.model, entry, clock);
    if (own !== null) {
      this.#key.settleOwn(run);
      return this.#sendOwn(run, own);
    }
    yield isLarge;
    this.#key.reserve(run, scan, facts, entry);
    yield isLarge;
    const source: AttemptSource = {
      operation,
      scan,
      facts,
      formatFor: this.#formatFor,
      anthropic: head.anthropic,
      mostMicros: (target) => this.#key.mostMicros(run, scan, facts, entry.name, target),
    };
    const planWith = (found: CatalogueEntry) => this.#planAffordable(run, found, head, source);
    const planAgain = () => planWith(resolveModel(facts.model, policiesOf(run), catalogue));
    const planned = planWith(entry);
    const waiter = this.#waiterFor(run, key, requestBytes, planned, planAgain);
    // Much may have happened while the body came in.
    if (response.destroyed) return run.reservations.release();
    const ended = run.ended ?? endByTime(run, clock.nowMs());
    if (ended === "revoked") throw new PosternError("unauthorized", { detail: { reason: "revoked" } });
    if (ended !== null) throw new PosternError(ended);
    if (this.#isStopped) throw new PosternError("shutting_down", { retryAfterSeconds: 5 });

    const textBytes = facts.textBytes ?? requestBytes;
    const openedAtMs = clock.nowMs();
    const opened = {
      id: run.id,
      endpointId: endpoint.name,
      keyId: key.id,
      operation: operation.id,
      model: entry.name,
      workflow: key.policy.document.workflow ?? null,
      contingency: typeof planned === "string" ? null : planned.contingency,
      isStream: facts.isStream,
      openedAtMs,
      requestBytes,
    };
    this.#deps.observer.streamStarted();
    const overheadMs = clock.monotonicMs() - arrivedMs;
    run.relay = new Relay(
      {
        id: run.id,
        response,
        codec,
        source,
        body,
        context: {
          id: run.id,
          model: facts.model,
          createdAtMs: run.startedAtMs,
          wantsUsage: facts.wantsUsage,
          estimatedTokensIn: tokensFromBytes(textBytes),
        },
        requestBytes: textBytes,
        plan: waiter !== null || typeof planned === "string" ? null : planned,
        startedMs: run.startedMs,
        overheadMs,
        timeouts,
        maxAttempts: limits.attempts,
        isRescued: entry.isRescued,
        answerCopy: run.capture,
      },
      new RunHost(this.#hostDeps, run, key, opened, waiter, overheadMs),
    );
    if (waiter !== null) run.reservations.add(() => this.#room.leave(waiter));
    run.relay.start();
  }

  /**
   * Null where the request can go at once.
   *
   * @throws PosternError where it would have to wait, and may not.
   */
  #waiterFor(
    run: Run,
    key: LiveKey,
    bytes: number,
    planned: RelayPlan | WaitReason,
    planAgain: () => RelayPlan | WaitReason,
  ): Waiter | null {
    const isFree = typeof planned !== "string";
    if (isFree && !this.#room.isAwaited(run.model ?? "")) return null;
    const waiter = makeWaiter(run, key, bytes, isFree ? "busy" : planned, this.#deps.queue.weights, planAgain);
    try {
      this.#room.admit(waiter);
    } catch (error) {
      // Those who wait want another target than the one that is free, or they would have gone.
      if (isFree) return null;
      throw error;
    }
    return waiter;
  }

  /** Begins to keep the request and its answer, where its key's policy says so. */
  #capture(run: Run, key: LiveKey, body: HeldBody): void {
    const capture = this.#deps.captures?.begin(key.policy.document.capture) ?? null;
    if (capture === null) return;
    run.capture = capture;
    capture.request(body.bytes);
    // Once it is relayed, its end decides.
    run.reservations.add(() => {
      if (run.relay === null) capture.forget();
    });
  }

  /** As `#plan`, among the targets that its key can pay. */
  #planAffordable(run: Run, entry: CatalogueEntry, head: CallerHead, source: AttemptSource): RelayPlan | WaitReason {
    const { unaffordable } = run;
    if (unaffordable === null) return this.#plan(run, entry, head, source);
    const targets = entry.targets.filter((target) => (source.mostMicros(target) ?? 0) === 0);
    try {
      return this.#plan(run, { ...entry, targets }, head, source);
    } catch (error) {
      // With money it would have been served.
      throw toPosternError(error).code === "no_target" ? unaffordable : error;
    }
  }

  /** Steps 9 and the start of 10; or what the request waits for. */
  #plan(
    run: Run,
    { targets, routing }: CatalogueEntry,
    head: CallerHead,
    source: AttemptSource,
  ): RelayPlan | WaitReason {
    const { clock, health } = this.#deps;
    const policies = policiesOf(run);
    const facts: PlanForFacts = {
      targets,
      routing,
      health,
      canAsk: (operations) => this.#formatFor(source.operation.id, operations) !== null,
      mayLeave: !head.isLocalOnly,
      pinnedNode: head.node,
      affinityKey: () => affinityKey(head.session, source.scan),
      turn: this.#turn++,
      nowMs: clock.monotonicMs(),
    };
    const plan = planFor(policies, facts, judgesFor(run, policies, this.#deps));
    if (plan.wait === "asleep" && !this.#wakeAny(plan.targets))
      throw new PosternError("no_target", { retryAfterSeconds: 60 });
    if (plan.wait !== null) return plan.wait;
    const first = prepareAttempt(source, plan.targets);
    if (first === null) throw new PosternError("no_target");
    return { first, targets: plan.targets, contingency: plan.contingency, fallback: plan.fallback };
  }

  /** Whether one of them is being woken; the first that policy wants is. */
  #wakeAny(targets: readonly Target[]): boolean {
    return targets.some(({ backend }) => this.#deps.wake(backend.id));
  }

  /** Answers from the catalogue, filtered by what the key may use. */
  #answerOwn(run: Run, wanted: CatalogueEntry | null): void {
    const { operation, key, head } = run;
    if (operation === null || head === null) throw new PosternError("internal");
    const entries = key === null ? [] : visibleModels(policiesOf(run), this.#deps.catalogue);
    const visible = entries.map((entry) => entry.listed());
    this.#sendOwn(
      run,
      ownAnswer({ operation, visible, wanted: wanted?.listed() ?? null, isAnthropic: head.isAnthropic }),
    );
  }

  #sendOwn(run: Run, body: Buffer): void {
    const type = body.length === 0 ? [] : ["Content-Type", "application/json"];
    const names = ["Content-Length", String(body.length), "X-Request-Id", run.id, "Request-Id", run.id];
    run.response.writeHead(200, [...type, ...names]).end(body);
    settleLocal(this.#deps, run, 200, null, null);
  }

  #refuse(run: Run, thrown: unknown): void {
    const error = toPosternError(thrown);
    run.reservations.release();
    this.#answerError(run, error);
    settleLocal(this.#deps, run, statusFor(familyOfRun(run), error), error.code, error);
  }

  #answerError(run: Run, error: PosternError, further: readonly string[] = []): void {
    const { head, isAwaited } = run;
    // A body that was not asked for may never come, and then the next request stands in its place.
    const declaredBytes = head === null || (head.expectsContinue && !isAwaited) ? null : head.contentLength;
    const headers = [...further];
    this.#key.addHeaders(run, familyOfRun(run), headers);
    refuse(run.request, run.response, error, familyOfRun(run), run.id, declaredBytes, headers);
  }

  /**
   * Ends what runs and would not be let in now, after endpoints or the rules about addresses have changed.
   *
   * @returns how many requests that were.
   */
  recheckPlaces(): number {
    const { clock, places } = this.#deps;
    const nowMs = clock.nowMs();
    let ended = 0;
    for (const run of this.#runs.all()) {
      const why = run.ended === null ? endByPlace(run, places, nowMs) : null;
      if (why === null) continue;
      this.#end(run, why);
      ended++;
    }
    return ended;
  }

  #end(run: Run, why: NonNullable<Run["ended"]>): void {
    run.ended = why;
    run.relay?.stop(why);
  }

  #forget(run: Run): void {
    this.#runs.delete(run);
    if (this.#runs.size === 0) this.#onIdle?.();
  }
}
