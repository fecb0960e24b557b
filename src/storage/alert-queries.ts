import type { Kysely } from "kysely";
import type { AlertDeliveryRecord, AlertRecord, AlertStore } from "./alert-store.ts";
import { inTransaction } from "./in-transaction.ts";
import type { Tables } from "./schema.ts";

/** Silences that are read, at most. */
const MAX_SILENCES = 1_000;

/** Alerts, messages about them and silences over any database that Kysely speaks. */
export function createAlertStore(db: Kysely<Tables>): AlertStore {
  return {
    save: (alerts, deliveries) =>
      inTransaction(db, async (transaction) => {
        for (const alert of alerts) {
          const { id, rule, key, started_at_ms, fired_at_ms, acked_at_ms, acked_by, ack_note, ...changing } =
            fromAlert(alert);
          const fixed = { id, rule, key, started_at_ms, fired_at_ms, acked_at_ms, acked_by, ack_note };
          await transaction
            .insertInto("alerts")
            .values({ ...fixed, ...changing })
            .onConflict((conflict) => conflict.column("id").doUpdateSet(changing))
            .execute();
        }
        for (const delivery of deliveries) {
          await transaction
            .insertInto("alert_deliveries")
            .values(fromDelivery(delivery))
            .onConflict((conflict) => conflict.doNothing())
            .execute();
        }
      }),

    async unresolved() {
      const rows = await db
        .selectFrom("alerts")
        .selectAll()
        .where("resolved_at_ms", "is", null)
        .orderBy("fired_at_ms")
        .orderBy("id")
        .execute();
      return rows.map(toAlert);
    },

    async list({ rule, sinceMs, before, limit }) {
      let query = db.selectFrom("alerts").selectAll().orderBy("id", "desc").limit(limit);
      if (rule !== null) query = query.where("rule", "=", rule);
      if (sinceMs !== null) query = query.where("fired_at_ms", ">=", sinceMs);
      if (before !== null) query = query.where("id", "<", before);
      const alerts = (await query.execute()).map(toAlert);
      const ids = alerts.map(({ id }) => id);
      const rows =
        ids.length === 0
          ? []
          : await db
              .selectFrom("alert_deliveries")
              .selectAll()
              .where("alert_id", "in", ids)
              .orderBy("at_ms")
              .orderBy("channel")
              .execute();
      const byAlert = Map.groupBy(rows.map(toDelivery), ({ alertId }) => alertId);
      return alerts.map((alert) => ({ ...alert, deliveries: byAlert.get(alert.id) ?? [] }));
    },

    prune: (beforeMs, keep) =>
      inTransaction(db, async (transaction) => {
        await transaction.deleteFrom("alerts").where("resolved_at_ms", "<", beforeMs).execute();
        const [oldestKept] = await transaction
          .selectFrom("alerts")
          .select("id")
          .orderBy("id", "desc")
          .offset(keep - 1)
          .limit(1)
          .execute();
        if (oldestKept !== undefined) {
          await transaction
            .deleteFrom("alerts")
            .where("resolved_at_ms", "is not", null)
            .where("id", "<", oldestKept.id)
            .execute();
        }
        await transaction.deleteFrom("alert_silences").where("until_ms", "<", beforeMs).execute();
      }),

    async acknowledge(id, { atMs, by, note }) {
      const { numUpdatedRows } = await db
        .updateTable("alerts")
        .set({ acked_at_ms: atMs, acked_by: by, ack_note: note })
        .where("id", "=", id)
        .where("acked_at_ms", "is", null)
        .executeTakeFirst();
      return numUpdatedRows > 0n;
    },

    async silences() {
      const rows = await db
        .selectFrom("alert_silences")
        .selectAll()
        .orderBy("until_ms", "desc")
        .orderBy("id")
        .limit(MAX_SILENCES)
        .execute();
      return rows.map((row) => ({
        id: row.id,
        rule: row.rule,
        key: row.key,
        reason: row.reason,
        createdBy: row.created_by,
        createdAtMs: row.created_at_ms,
        untilMs: row.until_ms,
      }));
    },

    async insertSilence({ id, rule, key, reason, createdBy, createdAtMs, untilMs }) {
      await db
        .insertInto("alert_silences")
        .values({ id, rule, key, reason, created_by: createdBy, created_at_ms: createdAtMs, until_ms: untilMs })
        .execute();
    },

    async removeSilence(id) {
      const { numDeletedRows } = await db.deleteFrom("alert_silences").where("id", "=", id).executeTakeFirst();
      return numDeletedRows > 0n;
    },
  };
}

function fromAlert(alert: AlertRecord): Tables["alerts"] {
  return {
    id: alert.id,
    rule: alert.rule,
    key: alert.key,
    severity: alert.severity,
    summary: alert.summary,
    labels: JSON.stringify(alert.labels),
    started_at_ms: alert.startedAtMs,
    fired_at_ms: alert.firedAtMs,
    resolved_at_ms: alert.resolvedAtMs,
    told_at_ms: alert.toldAtMs,
    acked_at_ms: alert.ack?.atMs ?? null,
    acked_by: alert.ack?.by ?? null,
    ack_note: alert.ack?.note ?? null,
  };
}

function toAlert(row: Tables["alerts"]): AlertRecord {
  return {
    id: row.id,
    rule: row.rule,
    key: row.key,
    severity: row.severity,
    summary: row.summary,
    labels: readLabels(row.labels),
    startedAtMs: row.started_at_ms,
    firedAtMs: row.fired_at_ms,
    resolvedAtMs: row.resolved_at_ms,
    toldAtMs: row.told_at_ms,
    ack: row.acked_at_ms === null ? null : { atMs: row.acked_at_ms, by: row.acked_by ?? "", note: row.ack_note },
  };
}

function readLabels(text: string): Record<string, string> {
  try {
    const value: unknown = JSON.parse(text);
    return Object.fromEntries(Object.entries(value ?? {}).map(([name, label]) => [name, String(label)]));
  } catch {
    return {};
  }
}

function fromDelivery(delivery: AlertDeliveryRecord): Tables["alert_deliveries"] {
  return {
    alert_id: delivery.alertId,
    notification_id: delivery.notificationId,
    channel: delivery.channel,
    kind: delivery.kind,
    status: delivery.status,
    is_delivered: Number(delivery.isDelivered),
    attempts: delivery.attempts,
    detail: delivery.detail,
    at_ms: delivery.atMs,
  };
}

function toDelivery(row: Tables["alert_deliveries"]): AlertDeliveryRecord {
  return {
    alertId: row.alert_id,
    notificationId: row.notification_id,
    channel: row.channel,
    kind: row.kind === "repeat" ? "repeat" : "change",
    status: row.status === "resolved" ? "resolved" : "firing",
    isDelivered: row.is_delivered === 1,
    attempts: row.attempts,
    detail: row.detail,
    atMs: row.at_ms,
  };
}
