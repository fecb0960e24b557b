import { expect, test } from "vitest";
import type { AuditEntryView } from "../admin/contract-records.ts";
import { renderVerdict, toCsv, toJson } from "./commands/audit.ts";
import { readRole, readScopes } from "./read-grant.ts";
import { renderServing } from "./up-result.ts";

const plain = (_style: unknown, text: string): string => text;

function entry(seq: number, subject: string): AuditEntryView {
  const actor = { kind: "token", id: "aaaaaaaaaaaa", name: "=ci", address: "192.0.2.7" };
  const hash = String(seq).repeat(64).slice(0, 64);
  return { seq, atMs: 0, actor, action: "keys.create", subject, before: null, after: { n: 1 }, previous: "", hash };
}

async function* pages(...all: AuditEntryView[][]): AsyncGenerator<AuditEntryView[]> {
  yield* all;
}

async function collect(pieces: AsyncIterable<string>): Promise<string> {
  let text = "";
  for await (const piece of pieces) text += piece;
  return text;
}

test("toJson() is one JSON value over all pages, also when there is nothing", async () => {
  const text = await collect(toJson(pages([entry(3, "c"), entry(2, "b")], [], [entry(1, "a")])));
  const { entries } = JSON.parse(text) as { entries: AuditEntryView[] };
  expect(entries.map(({ seq }) => seq)).toEqual([3, 2, 1]);
  expect(JSON.parse(await collect(toJson(pages([]))))).toEqual({ entries: [] });
});

test("toCsv() quotes as RFC 4180 says and disarms formulas", async () => {
  const [head, row] = (await collect(toCsv(pages([entry(1, 'key "x", y')])))).split("\r\n");
  expect(head).toBe("seq,time,actor,name,address,action,subject,before,after,hash");
  expect(row).toBe(
    `1,1970-01-01T00:00:00.000Z,token aaaaaaaaaaaa,'=ci,192.0.2.7,keys.create,"key ""x"", y",null,"{""n"":1}",${"1".repeat(64)}`,
  );
});

test("renderVerdict() prints the head to keep, and names the first bad entry", () => {
  const head = { seq: 7, hash: "f".repeat(64) };
  expect(renderVerdict({ entries: 7, deleted: 0, head, fault: null }, plain)).toMatch(
    /^All 7 entries are .*\nHead: 7:f{64}\n/,
  );
  const bad = renderVerdict({ entries: 7, deleted: 0, head, fault: { seq: 8, reason: "it is missing" } }, plain);
  expect(bad).toMatch(/^Entry 8 is not as it was written: it is missing\.\nThe 7 before it are\./);
});

test("readRole() and readScopes() name what there is", () => {
  expect(readRole("operator")).toBe("operator");
  expect(readScopes(["keys:read"])).toEqual(["keys:read"]);
  expect(() => readRole("root")).toThrow(/viewer, operator, owner, got "root"/);
  expect(() => readScopes(["keys"])).toThrow(/keys:read, keys:write/);
});

test("renderServing() shows the link for the first login on the run that has one, and on no other", () => {
  const serving = {
    baseUrl: "http://127.0.0.1:8400/v1",
    adminUrl: "http://127.0.0.1:8401",
    apiKey: null,
    models: ["m"],
    modelsReason: null,
    node: "n",
  };
  expect(renderServing(serving, plain, "http://127.0.0.1:8401/setup#psts_x")).toMatch(/first login.*once.*\n.*#psts_x/);
  expect(renderServing(serving, plain)).not.toContain("first login");
});
