import type { KeyRecord } from "../access/key.ts";
import { PosternError } from "../errors.ts";
import type { Store } from "../storage/store.ts";

/**
 * A key by id, or by name where exactly one has it.
 *
 * @throws PosternError `not_found`, `invalid_input` where several have the name.
 */
export async function findKey(store: Store, idOrName: string): Promise<KeyRecord> {
  const keys = await store.keys.list();
  const byId = keys.find((key) => key.id === idOrName);
  if (byId !== undefined) return byId;
  const named = keys.filter((key) => key.name === idOrName);
  const [first, second] = named;
  if (first === undefined) {
    throw new PosternError("not_found", {
      message: `There is no key with the id or name "${idOrName}"`,
      hint: "`postern keys list` shows them.",
    });
  }
  if (second !== undefined) {
    throw new PosternError("invalid_input", {
      message: `${named.length} keys have the name "${idOrName}"`,
      hint: `Say which by its id: ${named.map((key) => key.id).join(", ")}.`,
    });
  }
  return first;
}
