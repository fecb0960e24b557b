import type { Kysely } from "kysely";
import type { Tables } from "./schema.ts";
import type { DrillRow, DrillStore } from "./store.ts";

/** Failover drills over any database that Kysely speaks. */
export function createDrillStore(db: Kysely<Tables>): DrillStore {
  return {
    async put({ id, plan, startedAtMs, endedAtMs, body }) {
      await db
        .insertInto("drills")
        .values({ id, plan, started_at_ms: startedAtMs, ended_at_ms: endedAtMs, body })
        .onConflict((conflict) => conflict.column("id").doUpdateSet({ ended_at_ms: endedAtMs, body }))
        .execute();
    },

    async find(id) {
      const row = await db.selectFrom("drills").selectAll().where("id", "=", id).executeTakeFirst();
      return row === undefined ? null : toDrill(row);
    },

    async list(plan, limit) {
      let rows = db
        .selectFrom("drills")
        .selectAll()
        .orderBy("started_at_ms", "desc")
        .orderBy("id", "desc")
        .limit(limit);
      if (plan !== null) rows = rows.where("plan", "=", plan);
      return (await rows.execute()).map(toDrill);
    },

    async unfinished() {
      const rows = await db.selectFrom("drills").selectAll().where("ended_at_ms", "is", null).execute();
      return rows.map(toDrill);
    },
  };
}

function toDrill(row: Tables["drills"]): DrillRow {
  return {
    id: row.id,
    plan: row.plan,
    startedAtMs: row.started_at_ms,
    endedAtMs: row.ended_at_ms,
    body: row.body,
  };
}
