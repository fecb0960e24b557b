import { randomUUID } from "node:crypto";
import { definitionOf, isRuleName, RULE_NAMES } from "../continuity/alerts/rules.ts";
import { PosternError } from "../errors.ts";
import { actorOf, labelOf } from "./caller.ts";
import type { AdminContext } from "./context.ts";
import type { AlertRuleView } from "./contract-alerts.ts";
import type { CallParts } from "./create-context.ts";

type AlertMethods = Pick<
  AdminContext,
  "listAlerts" | "alertRules" | "alertHistory" | "testAlerts" | "silenceAlerts" | "unsilenceAlerts" | "acknowledgeAlert"
>;

/** Silences that may be there at one time, those that are over left out. */
const MAX_SILENCES = 200;

/** Alerts: the store has silences and history, a running gateway what fires now. */
export function createAlertAdmin(parts: CallParts): AlertMethods {
  const { store, config, clock, live, caller, changing } = parts;

  async function openSilences() {
    const nowMs = clock.nowMs();
    return (await store.alerts.silences()).filter(({ untilMs }) => untilMs > nowMs);
  }

  return {
    async listAlerts() {
      const now = live?.alerts.view() ?? { firing: [], pending: [], channels: [], heartbeat: null };
      const firing = now.firing.map((one) => ({
        ...one,
        nextStep: isRuleName(one.rule) ? definitionOf(one.rule).nextStep : "",
      }));
      return { ...now, firing, silences: await openSilences() };
    },
    async alertRules() {
      return RULE_NAMES.map((name): AlertRuleView => {
        const { meaning, nextStep, threshold, windowMs, minRequests } = definitionOf(name);
        const set = config.alerts.rules[name];
        return {
          name,
          meaning,
          nextStep,
          enabled: set.isEnabled,
          severity: set.severity,
          forMs: set.forMs,
          resolveAfterMs: set.resolveAfterMs,
          threshold: threshold === null ? null : { unit: threshold.unit, value: set.threshold },
          windowMs: windowMs === null ? null : set.windowMs,
          minRequests: minRequests === null ? null : set.minRequests,
        };
      });
    },
    async alertHistory({ rule, sinceMs, before, limit }) {
      const alerts = await store.alerts.list({
        rule: rule ?? null,
        sinceMs: sinceMs ?? null,
        before: before ?? null,
        limit,
      });
      return { alerts, next: alerts.length < limit ? null : (alerts.at(-1)?.id ?? null) };
    },
    async testAlerts({ channel }, signal) {
      const { channels } = config.alerts;
      if (channels.length === 0) {
        throw new PosternError("not_found", {
          message: "There are no channels to test",
          hint: "Put one into postern.yaml under alerts.channels: docs/guide/alerts.md.",
        });
      }
      if (channel !== null && !channels.some(({ name }) => name === channel)) {
        throw new PosternError("not_found", {
          message: `There is no channel "${channel}"`,
          hint: `These are there: ${channels.map(({ name }) => name).join(", ")}.`,
        });
      }
      if (live === null) {
        throw new PosternError("gateway_unreachable", {
          message: "Only a running gateway sends alerts, and none runs on this data folder",
          hint: "Start it with `postern up` or `postern gateway`.",
        });
      }
      const results = await live.alerts.test(channel, signal);
      const delivered = Object.fromEntries(results.map((one) => [one.channel, one.isDelivered]));
      // Nothing of the store changes, and yet people are told something in this gateway's name.
      const subject = channel === null ? "all channels" : `channel ${channel}`;
      const entry = { action: "alerts.test", subject, before: null, after: delivered };
      await store.audit.append({ atMs: clock.nowMs(), actor: actorOf(caller), ...entry });
      return { results };
    },
    async silenceAlerts({ rule, key, forMs, reason }) {
      if ((await openSilences()).length >= MAX_SILENCES) {
        throw new PosternError("invalid_input", {
          message: `There are ${MAX_SILENCES} silences already`,
          hint: "End one: `postern alerts unsilence ID`. `*` silences every rule.",
        });
      }
      const nowMs = clock.nowMs();
      const silence = {
        id: randomUUID(),
        rule,
        key,
        reason,
        createdBy: labelOf(caller),
        createdAtMs: nowMs,
        untilMs: nowMs + forMs,
      };
      const change = { action: "alerts.silence", subject: `rule ${rule}`, before: null, after: silence };
      await changing(change).alerts.insertSilence(silence);
      await live?.alerts.silencesChanged();
      return silence;
    },
    async unsilenceAlerts(id) {
      const silence = (await openSilences()).find((one) => one.id === id);
      if (silence === undefined) {
        throw new PosternError("not_found", {
          message: `There is no silence "${id}"`,
          hint: "`postern alerts list` shows those that are not over.",
        });
      }
      const subject = `rule ${silence.rule}`;
      await changing({ action: "alerts.unsilence", subject, before: silence, after: null }).alerts.removeSilence(id);
      await live?.alerts.silencesChanged();
      return silence;
    },
    async acknowledgeAlert(id, { note }) {
      const alert = (await store.alerts.unresolved()).find((one) => one.id === id);
      if (alert === undefined) {
        throw new PosternError("not_found", {
          message: `No alert "${id}" fires`,
          hint: "`postern alerts list` shows those that do, with their ids.",
        });
      }
      const ack = alert.ack ?? { atMs: clock.nowMs(), by: labelOf(caller), note };
      const subject = `alert ${alert.rule} ${alert.key}`.trim();
      const change = { action: "alerts.acknowledge", subject, before: null, after: { id, ...ack } };
      await changing(change).alerts.acknowledge(id, ack);
      live?.alerts.acknowledged(id, ack);
      return { id, ack };
    },
  };
}
