import type { Kysely, Transaction } from "kysely";
import type { Tables } from "./schema.ts";

/** Runs `work` in a transaction: the one that is open already, so that a change can be written together with its audit entry, or its own. */
export function inTransaction<T>(
  db: Kysely<Tables>,
  work: (transaction: Transaction<Tables>) => Promise<T>,
): Promise<T> {
  return db.isTransaction ? work(db as Transaction<Tables>) : db.transaction().execute(work);
}
