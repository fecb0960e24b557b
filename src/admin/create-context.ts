import { statSync } from "node:fs";
import { isAbsolute } from "node:path";
import type { ResolvedConfig } from "../config/resolved.ts";
import { SEVERITIES } from "../continuity/alerts/rules.ts";
import { PosternError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import type { Secret } from "../lib/secret.ts";
import type { AuditDraft } from "../storage/audit-chain.ts";
import type { CaptureStore, Changes, Store } from "../storage/store.ts";
import type { AdminAccess } from "./access/access.ts";
import { createAccessAdmin } from "./access-admin.ts";
import { createAlertAdmin } from "./alert-admin.ts";
import { createApprovalAdmin } from "./approval-admin.ts";
import { actorOf, type Caller } from "./caller.ts";
import { createCaptureAdmin } from "./capture-admin.ts";
import type { AdminContext, LiveGateway } from "./context.ts";
import { createContingencyAdmin } from "./contingency-admin.ts";
import type { ModelView } from "./contract-models.ts";
import type { Status } from "./contract-status.ts";
import { createDrillAdmin } from "./drill-admin.ts";
import { createEndpointAdmin } from "./endpoint-admin.ts";
import { createKeyAdmin } from "./key-admin.ts";
import { createNodeAdmin } from "./node-admin.ts";
import { createRecordAdmin } from "./record-admin.ts";
import { createSessionAdmin } from "./session-admin.ts";
import { createSteeringAdmin } from "./steering-admin.ts";
import { createTokenAdmin } from "./token-admin.ts";
import { reportUsage } from "./usage-report.ts";
import { createUserAdmin } from "./user-admin.ts";

/** What the admin contract is made of. */
export interface AdminParts {
  version: string;
  config: ResolvedConfig;
  store: Store;
  captures: CaptureStore;
  clock: Clock;
  /** Null when no gateway runs: the same contract over the store alone. */
  live: LiveGateway | null;
  access: AdminAccess;
  /** `createInvitation` of the tunnel, bound to the gateway's identity. */
  mintInvitation(): Promise<{ id: string; hash: Uint8Array; code: Secret }>;
  /** Brings finished requests into the store, so that a report has what was just asked. Does not reject. */
  settleUsage(): Promise<void>;
}

/** What a change is, for the audit trail: no secrets, not even their hashes. */
export type Change = Pick<AuditDraft, "action" | "subject" | "before" | "after">;

/** The same with who calls. */
export interface CallParts extends AdminParts {
  caller: Caller;
  /** The store for one change by this caller, written together with its entry in the audit trail. */
  changing(change: Change): Changes;
}

/**
 * The one implementation of the admin contract, for a running gateway (`live`) and for the offline CLI (no `live`).
 *
 * @returns the contract in the name of a caller. Cheap: made for each call.
 */
export function createAdmin(parts: AdminParts): (caller: Caller) => AdminContext {
  const { store, clock } = parts;
  return (caller) =>
    createAdminContext({
      ...parts,
      caller,
      changing: (change) => store.audited({ atMs: clock.nowMs(), actor: actorOf(caller), ...change }),
    });
}

function createAdminContext(parts: CallParts): AdminContext {
  const { version, config, store, live } = parts;
  const keys = createKeyAdmin(parts);
  const nodes = createNodeAdmin(parts);
  const contingency = createContingencyAdmin(parts);
  const drills = createDrillAdmin(parts);
  return {
    ...keys,
    ...nodes,
    ...createSteeringAdmin(parts, (name) => nodes.showNode(name)),
    ...createEndpointAdmin(parts),
    ...createAccessAdmin(parts),
    ...contingency,
    ...createApprovalAdmin(parts),
    ...drills,
    ...createTokenAdmin(parts),
    ...createUserAdmin(parts),
    ...createSessionAdmin(parts),
    ...createRecordAdmin(parts),
    ...createCaptureAdmin(parts),
    ...createAlertAdmin(parts),
    async status() {
      const [keyList, nodeList, storeTrouble] = await Promise.all([keys.listKeys(), nodes.listNodes(), store.health()]);
      const models = live?.models() ?? [];
      return {
        version,
        gateway: live?.status() ?? null,
        dataFolder: config.dataFolder,
        configFile: config.file,
        keys: { active: keyList.filter((key) => key.state === "active").length, total: keyList.length },
        nodes: { connected: nodeList.filter(isConnected).length, total: nodeList.length },
        models: { ready: models.filter((model) => model.ready).length, total: models.length },
        engineAdvisories: nodeList.flatMap((node) =>
          node.engines.flatMap(({ name, version, advisories }) =>
            advisories
              .filter((one) => one.severity !== "info")
              .map((one) => ({ ...one, node: node.name, engine: name, version })),
          ),
        ),
        nodesAway: models.filter(hasNodesAway).map(({ name }) => name),
        contingency: (await contingency.contingency()).scopes,
        drills: await drillStatus(parts, drills),
        alerts: openAlerts(live),
        storeTrouble,
        ledgerTrouble: live?.ledgerTrouble() ?? null,
      };
    },
    async listModels() {
      return [...(live ?? needsGateway()).models()].sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    async probeModel(input, signal) {
      return (live ?? needsGateway()).probeModel(input, signal);
    },
    async usage(query) {
      await parts.settleUsage();
      return reportUsage(parts, query);
    },
    async backup(path) {
      if (!isAbsolute(path)) {
        throw new PosternError("invalid_input", { message: `The backup's path must be absolute, got "${path}"` });
      }
      await store.backup(path);
      const after = { path, bytes: statSync(path).size };
      const actor = actorOf(parts.caller);
      const entry = { action: "backup.create", subject: "store", before: null, after };
      await store.audit.append({ atMs: parts.clock.nowMs(), actor, ...entry });
      return after;
    },
  };
}

async function drillStatus(
  { live }: CallParts,
  { drillPlans }: Pick<AdminContext, "drillPlans">,
): Promise<Status["drills"]> {
  const running = live?.drills().running ?? null;
  const overdue = (await drillPlans()).flatMap(({ name, overdueSinceMs }) =>
    overdueSinceMs === null ? [] : [{ plan: name, sinceMs: overdueSinceMs }],
  );
  return { running: running === null ? null : { id: running.id, plan: running.plan, state: running.state }, overdue };
}

/** What fires and nobody looks after. */
function openAlerts(live: CallParts["live"]): Status["alerts"] {
  const firing = live?.alerts.view().firing ?? [];
  return firing
    .filter(({ silencedBy, ack }) => silencedBy === null && ack === null)
    .toSorted((a, b) => rankOf(b.severity) - rankOf(a.severity))
    .map(({ id, rule, severity, summary }) => ({ id, rule, severity, summary }));
}

/** The larger the worse. An older gateway may have had other words. */
function rankOf(severity: string): number {
  const severities: readonly string[] = SEVERITIES;
  return severities.indexOf(severity);
}

/** Whether a model that nodes should serve is left to providers. */
function hasNodesAway({ targets }: ModelView): boolean {
  const nodes = targets.filter(({ node }) => node !== null);
  return nodes.length > 0 && nodes.every(({ ready }) => !ready) && targets.some(({ ready }) => ready);
}

function isConnected(node: { state: string }): boolean {
  return node.state === "ready" || node.state === "connected";
}

function needsGateway(): never {
  throw new PosternError("gateway_unreachable", {
    message: "Only a running gateway knows that, and none runs on this data folder",
    hint: "Start it with `postern up` or `postern gateway`.",
  });
}
