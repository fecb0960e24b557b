import { expect, test } from "vitest";
import { keyRecord } from "../../test/support/key-record.ts";
import { joinKeyPages, KEYS_PER_PAGE, type KeyPosition } from "./key-pages.ts";

test("joinKeyPages() reads on until a page is not full, each page behind the last key of the one before", async () => {
  const all = Array.from({ length: KEYS_PER_PAGE + 3 }, (_, index) =>
    keyRecord({ id: `k${index}`, createdAtMs: index, hash: new Uint8Array(32).fill(index % 251) }),
  );
  const asked: (KeyPosition | null)[] = [];
  const read = async (after: KeyPosition | null) => {
    asked.push(after);
    const start = after === null ? 0 : after.createdAtMs + 1;
    const part = all.slice(start, start + KEYS_PER_PAGE);
    const keys = part.map((key) => ({ ...key, hash: new Uint8Array() }));
    return { keys, hashes: new Uint8Array(part.flatMap(({ hash }) => [...hash])) };
  };
  const joined = await joinKeyPages(read);
  expect(joined).toHaveLength(all.length);
  expect(joined.every((key, index) => key.id === `k${index}` && key.hash[31] === index % 251)).toBe(true);
  expect(asked.map((after) => after?.createdAtMs ?? null)).toEqual([null, KEYS_PER_PAGE - 1]);
});
