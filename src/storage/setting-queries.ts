import type { Kysely } from "kysely";
import type { Tables } from "./schema.ts";
import type { SettingStore } from "./store.ts";

/** Small named values over any database that Kysely speaks. */
export function createSettingStore(db: Kysely<Tables>): SettingStore {
  return {
    async get(name) {
      const row = await db.selectFrom("settings").select("value").where("name", "=", name).executeTakeFirst();
      return row?.value ?? null;
    },

    async set(name, value) {
      await db
        .insertInto("settings")
        .values({ name, value })
        .onConflict((conflict) => conflict.column("name").doUpdateSet({ value }))
        .execute();
    },
  };
}
