import type { KeyRecord } from "../access/key.ts";
import { PosternError } from "../errors.ts";
import type { Store } from "../storage/store.ts";

/**
 * A key by id, or by name where exactly one has it.
 *
 * @throws PosternError `not_found`, `invalid_input` where several have the name.
 */
export async function findKey(store: Store, idOrName: string): Promise<KeyRecord> {
  const found = await store.keys.find(idOrName);
  const [first, second] = found;
  if (first === undefined) {
    throw new PosternError("not_found", {
      message: `There is no key with the id or name "${idOrName}"`,
      hint: "`postern keys list` shows them.",
    });
  }
  if (second !== undefined) {
    throw new PosternError("invalid_input", {
      message: `${found.length} keys have the name "${idOrName}"`,
      hint: `Say which by its id: ${found.map((key) => key.id).join(", ")}.`,
    });
  }
  return first;
}
