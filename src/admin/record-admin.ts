import type { GatewayConfig } from "../config/resolved.ts";
import type { AdminContext } from "./context.ts";
import type { CallParts } from "./create-context.ts";

type RecordMethods = Pick<AdminContext, "health" | "settings" | "listRequests" | "listAudit" | "verifyAudit">;

/** What was written down, and what is set. */
export function createRecordAdmin(parts: CallParts): RecordMethods {
  const { store, live, config } = parts;
  return {
    async health() {
      const gateway = live?.status() ?? null;
      return {
        ready: gateway?.ready ?? false,
        reasons: gateway?.reasons ?? ["no gateway runs"],
        storeTrouble: await store.health(),
        ledgerTrouble: live?.ledgerTrouble() ?? null,
      };
    },
    async settings() {
      return {
        file: config.file,
        dataFolder: config.dataFolder,
        gateway: plain<GatewayConfig>(config.gateway),
        storage: plain(config.storage),
        defined: { nodes: config.nodes.map(({ name }) => name), models: config.models.map(({ name }) => name) },
      };
    },
    async listRequests({ key, model, outcome, sinceMs, untilMs, before, limit }) {
      await parts.settleUsage();
      return store.usage.requests({
        keyId: key ?? null,
        model: model ?? null,
        outcome: outcome ?? null,
        sinceMs: sinceMs ?? null,
        untilMs: untilMs ?? null,
        before: before ?? null,
        limit,
      });
    },
    async listAudit({ actor, action, sinceMs, before, limit }) {
      const entries = await store.audit.list({
        actor: actor ?? null,
        action: action ?? null,
        sinceMs: sinceMs ?? null,
        beforeSeq: before ?? null,
        limit,
      });
      const last = entries.at(-1);
      return { entries, next: entries.length < limit ? null : (last?.seq ?? null) };
    },
    verifyAudit: (anchor) => store.audit.verify(anchor),
  };
}

/** Only what JSON has; a `Secret` turns into asterisks on the way. */
function plain<T extends object>(value: T): Record<string, unknown> {
  return JSON.parse(JSON.stringify(value)) as Record<string, unknown>;
}
