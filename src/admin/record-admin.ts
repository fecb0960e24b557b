import type { GatewayConfig } from "../config/resolved.ts";
import { PosternError } from "../errors.ts";
import type { AdminContext } from "./context.ts";
import type { CallParts } from "./create-context.ts";
import { nodeNames } from "./usage-report.ts";

type RecordMethods = Pick<
  AdminContext,
  "health" | "settings" | "request" | "listRequests" | "listAudit" | "verifyAudit"
>;

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
    async request(id) {
      await parts.settleUsage();
      const found = await store.usage.request(id);
      if (found !== null) return { ...found, servedBy: labelOf(found.servedBy, await nodeNames(parts)) };
      throw new PosternError("not_found", {
        message: `There is no finished request with the id "${id}"`,
        hint: "Its id is in the X-Request-Id header of the answer; requests that still run have no record yet.",
      });
    },
    async listRequests({ key, model, workflow, contingency, outcome, sinceMs, untilMs, before, limit }) {
      await parts.settleUsage();
      const page = await store.usage.requests({
        keyId: key ?? null,
        model: model ?? null,
        workflow: workflow ?? null,
        isContingency: contingency === "only",
        outcome: outcome ?? null,
        sinceMs: sinceMs ?? null,
        untilMs: untilMs ?? null,
        before: before ?? null,
        limit,
      });
      const names = await nodeNames(parts);
      return { ...page, requests: page.requests.map((one) => ({ ...one, servedBy: labelOf(one.servedBy, names) })) };
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

/** Who answered last, as headers and reports name them; null where nobody was asked. A node that is gone has its id left. */
function labelOf(servedBy: string, names: ReadonlyMap<string, string>): string | null {
  if (servedBy === "" || servedBy.startsWith("provider/")) return servedBy || null;
  return `node/${names.get(servedBy) ?? servedBy}`;
}

/** Only what JSON has; a `Secret` turns into asterisks on the way. */
function plain<T extends object>(value: T): Record<string, unknown> {
  return JSON.parse(JSON.stringify(value)) as Record<string, unknown>;
}
