import { expect, test } from "vitest";
import { keyRecord } from "../../test/support/key-record.ts";
import { joinKeyPages, KEYS_PER_PAGE } from "./key-pages.ts";

test("joinKeyPages() reads on until a page is not full, and gives the oldest key first with its own hash", async () => {
  const all = Array.from({ length: KEYS_PER_PAGE + 3 }, (_, index) => {
    const id = String(index).padStart(12, "0");
    return keyRecord({ id, createdAtMs: -Math.floor(index / 2), hash: new Uint8Array(32).fill(index % 251) });
  });
  const asked: (string | null)[] = [];
  const joined = await joinKeyPages(async (afterId) => {
    asked.push(afterId);
    const start = afterId === null ? 0 : Number(afterId) + 1;
    const part = all.slice(start, start + KEYS_PER_PAGE);
    const keys = part.map((key) => ({ ...key, hash: new Uint8Array() }));
    return { keys, hashes: new Uint8Array(part.flatMap(({ hash }) => [...hash])) };
  });
  expect(asked).toEqual([null, all[KEYS_PER_PAGE - 1]?.id]);
  expect(joined).toHaveLength(all.length);
  expect(joined.every(({ id, hash }) => hash[31] === Number(id) % 251)).toBe(true);
  const places = joined.map(({ id, createdAtMs }) => createdAtMs * 1e6 + Number(id));
  expect(places).toEqual(places.toSorted((a, b) => a - b));
});
