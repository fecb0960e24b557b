import type { Kysely } from "kysely";
import type { KeyRecord } from "../access/key.ts";
import { PosternError } from "../errors.ts";
import { toRecord } from "./key-queries.ts";
import type { Tables } from "./schema.ts";

/** Keys that cross between threads at one time. More take longer to copy than one turn of the event loop may. */
export const KEYS_PER_PAGE = 2_000;
const HASH_BYTES = 32;

/** A part of all keys. A hundred thousand small buffers cost far more memory than their bytes, so the hashes are in one. */
export interface KeyPage {
  keys: KeyRecord[];
  /** Of `keys` in their order, 32 bytes each; theirs are empty. */
  hashes: Uint8Array;
}

/** The next keys by id, which has an index: in any other order each page would sort all keys. @param afterId Null: the first ones. */
export async function readKeyPage(db: Kysely<Tables>, afterId: string | null): Promise<KeyPage> {
  let query = db.selectFrom("keys").selectAll().orderBy("id").limit(KEYS_PER_PAGE);
  if (afterId !== null) query = query.where("id", ">", afterId);
  const rows = await query.execute();
  const hashes = new Uint8Array(rows.length * HASH_BYTES);
  const keys = rows.map((row, index) => {
    if (row.hash.byteLength !== HASH_BYTES) {
      throw new PosternError("store_corrupt", { message: `The hash of key ${row.id} is not ${HASH_BYTES} bytes long` });
    }
    hashes.set(row.hash, index * HASH_BYTES);
    row.hash = NO_BYTES;
    return toRecord(row);
  });
  return { keys, hashes };
}

/** All keys out of pages that somebody fetches, oldest first. A hash is then a view on those of its page: copy it before it is sent on. */
export async function joinKeyPages(read: (afterId: string | null) => Promise<KeyPage>): Promise<KeyRecord[]> {
  const all: KeyRecord[] = [];
  for (let afterId: string | null = null; ; afterId = all.at(-1)?.id ?? null) {
    const { keys, hashes } = await read(afterId);
    for (const [index, key] of keys.entries()) {
      key.hash = hashes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES);
      all.push(key);
    }
    // The sort is stable, so keys of one moment stay in the order of their ids.
    if (keys.length < KEYS_PER_PAGE) return all.sort((a, b) => a.createdAtMs - b.createdAtMs);
  }
}

const NO_BYTES = new Uint8Array();
