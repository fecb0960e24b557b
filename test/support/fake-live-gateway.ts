import type { KeyRecord } from "../../src/access/key.ts";
import { Keyring } from "../../src/access/keyring.ts";
import { Places } from "../../src/access/places.ts";
import type { LiveAlerts, LiveGateway } from "../../src/admin/context.ts";
import type { ModelTargetView, ProbeInput, ProbeResult } from "../../src/admin/contract-models.ts";
import type { LiveDrills } from "../../src/admin/live-drills.ts";
import { DEFAULT_CONTINUITY } from "../../src/config/defaults.ts";
import { Approvals } from "../../src/continuity/approvals.ts";
import { ContingencyBook } from "../../src/continuity/contingency-book.ts";
import type { DrillRecord } from "../../src/continuity/drill/record.ts";
import { newRecord, toRow } from "../../src/gateway/drills/new-record.ts";
import { liveApprovals } from "../../src/gateway/open-approvals.ts";
import { ManualClock } from "../../src/lib/clock.ts";
import { SteeringBook } from "../../src/routing/steering-book.ts";
import type { NodeRecord } from "../../src/storage/store.ts";
import type { Link, NodeReport } from "../../src/tunnel/link.ts";

/** The live part of the admin contract, as a test says it is. Unlike a gateway it serves nothing; it keeps what it was told. */
export class FakeGateway implements LiveGateway {
  readonly calls: string[] = [];
  /** Of the one model. */
  targets: ModelTargetView[] = [];
  readonly #steering = new SteeringBook(null, ({ drained }) => this.calls.push(`drained: ${drained.length}`));
  readonly #clock = new ManualClock();
  readonly approvalBook = new Approvals(DEFAULT_CONTINUITY.approvals);
  readonly #contingency = new ContingencyBook({
    rules: DEFAULT_CONTINUITY.contingency,
    clock: this.#clock,
    saved: null,
    onChange: ({ workflow, to }) => this.calls.push(`contingency ${workflow ?? "all"}: ${to}`),
    save: async () => {},
    onFailure() {},
  });
  status() {
    return {
      pid: 1,
      startedAtMs: 1,
      publicUrl: "https://ai.example.org",
      adminUrl: "http://127.0.0.1:8401",
      ready: true,
      reasons: [],
      isDraining: false,
      config: { loadedAtMs: 1, problem: null, needsRestart: [] as string[] },
      breakers: [],
      providers: [],
      requestsActive: 0,
      queues: [],
      links: 0,
      listeners: [],
    };
  }
  ledgerTrouble() {
    return null;
  }
  links(): readonly Link[] {
    return [];
  }
  report(_connectorId: string): NodeReport | null {
    return null;
  }
  isGranted(_nodeId: string, _model: string): boolean {
    return true;
  }
  models() {
    return [
      {
        name: "m",
        ready: true,
        source: "node" as const,
        required: true,
        strategy: "least-busy" as const,
        operations: ["openai.chat"],
        targets: this.targets,
      },
    ];
  }
  steering() {
    return this.#steering;
  }
  approvals() {
    return liveApprovals(this.approvalBook, this.#clock, () => this.calls.push("targetsChanged"));
  }
  wake(nodeId: string) {
    return this.#steering.steering.wakes[nodeId] !== undefined;
  }
  engineFacts() {
    return { slots: 4, busy: 1, latency: null };
  }
  reviewModels() {
    const backend = { kind: "node" as const, name: "forge", tags: [] };
    const target = { backend, label: "node/forge", leaves: false, isReady: true, isTunnelled: true };
    return [{ model: "m", targets: [target] }];
  }
  contingency() {
    return this.#contingency;
  }
  /** The drill that "runs". */
  drill: DrillRecord | null = null;
  drills(): LiveDrills {
    return {
      running: this.drill,
      start: async (plan, { startedBy, write }) => {
        this.drill = newRecord(plan, { id: "01a0", startedBy, checks: [], isForced: false }, 1);
        await write(toRow(this.drill));
        return this.drill;
      },
      abort: (id, reason) => {
        const running = this.drill;
        if (running?.id !== id) return null;
        this.drill = null;
        return Promise.resolve({ ...running, state: "done", result: "aborted", reason });
      },
      note: (id, note) => {
        if (this.drill?.id !== id) return false;
        this.drill.notes.push({ atMs: 1, by: note.by, text: note.text });
        return true;
      },
      states: () => [],
    };
  }
  places() {
    return new Places(null, new Keyring());
  }
  async placesChanged() {
    this.calls.push("placesChanged");
    return 0;
  }
  async probeModel(input: ProbeInput, _signal: AbortSignal): Promise<ProbeResult> {
    return { model: input.model, ok: true, reason: null, target: "node/forge", durationMs: 5 };
  }
  keyChanged({ name, revokedAtMs, disabledAtMs }: KeyRecord) {
    this.calls.push(`${name}: ${revokedAtMs !== null ? "revoked" : disabledAtMs !== null ? "disabled" : "open"}`);
  }
  findKey(_idOrName: string): KeyRecord | null {
    return null;
  }
  spending() {
    return { tokensToday: 1, tokensThisMonth: 2, costMicrosToday: 3, costMicrosThisMonth: 4 };
  }
  nodeChanged(node: NodeRecord) {
    this.calls.push(`added ${node.name}`);
  }
  async nodeRemoved(node: NodeRecord) {
    this.calls.push(`removed ${node.name}`);
    return 2;
  }
  readonly alerts: LiveAlerts = {
    view() {
      const fields = { severity: "warning", summary: "Node forge is away", labels: {}, startedAtMs: 1, firedAtMs: 2 };
      const state = { resolvedAtMs: null, toldAtMs: null, ack: null, silencedBy: null };
      return {
        firing: [{ id: "01890a5d-ac96-774b-bcce-b302099a8057", rule: "node-away", key: "forge", ...fields, ...state }],
        pending: [],
        channels: [],
        heartbeat: null,
      };
    },
    test: async (channel) => [
      {
        channel: channel ?? "ops",
        type: "webhook",
        isDelivered: true,
        detail: "it answered with HTTP 200",
        nextStep: null,
        durationMs: 5,
      },
    ],
    silencesChanged: async () => void this.calls.push("silencesChanged"),
    acknowledged: (id) => void this.calls.push(`acknowledged ${id}`),
  };
  async agentPackageSha256() {
    return "a".repeat(64);
  }
}

/** A target of its model that is ready. */
export function targetView(node: string): ModelTargetView {
  return {
    id: `id-${node}/e/m`,
    node,
    provider: null,
    engine: "e",
    kind: "vllm",
    engineModel: "m",
    ready: true,
    reason: null,
    loaded: true,
    contextLength: null,
    sizeBytes: null,
    quantization: null,
    weight: null,
  };
}
