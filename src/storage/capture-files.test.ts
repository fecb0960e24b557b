import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createUuidV7 } from "../lib/uuidv7.ts";
import { CaptureFiles } from "./capture-files.ts";
import type { Capture } from "./store.ts";

const newId = createUuidV7();
const yes = () => true;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-captures-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = (totalBytes = 1024 ** 2) => new CaptureFiles({ folder, totalBytes });

function capture(keyId: string, fields: Partial<Capture> = {}): Capture {
  return {
    id: newId(),
    keyId,
    operation: "openai.chat",
    model: "m",
    capturedAtMs: 1000,
    expiresAtMs: 5000,
    request: { kept: Buffer.from("what was asked"), bytes: 14, isCut: false },
    answer: { kept: Buffer.from([0xff, 0x00, 0xfe]), bytes: 9, isCut: true },
    ...fields,
  };
}

function filesOnDisk(): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((one) =>
    one.isFile() ? [one.name] : [],
  );
}

test("a capture comes back as it was, byte for byte, also after a restart, and others may not read it", async () => {
  const one = capture("key1");
  await open().write(one, yes);
  expect(await open().read(one.id)).toEqual(one);
  const path = join(folder, "captures", "key1");
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(statSync(join(path, readdirSync(path)[0] ?? "")).mode & 0o777).toBe(0o600);
});

test("what is over is deleted from the disk, and nothing else", async () => {
  const files = open();
  const [short, long] = [capture("key1"), capture("key1", { expiresAtMs: 9000 })];
  await files.write(short, yes);
  await files.write(long, yes);
  expect(await files.forgetExpired(4999)).toBe(0);
  expect(await files.forgetExpired(5000)).toBe(1);
  expect([await files.read(short.id), (await files.read(long.id))?.id]).toEqual([null, long.id]);
  expect(filesOnDisk()).toHaveLength(1);
});

test("with its key goes every capture of it, one that is being written too, and none comes after", async () => {
  const files = open();
  const other = capture("key2");
  await files.write(other, yes);
  await files.write(capture("key1"), yes);
  let isKeyThere = true;
  const underWay = files.write(capture("key1"), () => isKeyThere);
  isKeyThere = false;
  const forgotten = files.forgetKey("key1");
  const late = files.write(capture("key1"), () => isKeyThere);
  expect(await Promise.all([underWay, forgotten, late])).toEqual([false, 1, false]);
  expect(filesOnDisk()).toHaveLength(1);
  expect(await files.read(other.id)).not.toBeNull();
});

test("the oldest go when the sum is reached", async () => {
  const files = open(2000);
  const all = Array.from({ length: 8 }, () => capture("key1"));
  for (const one of all) await files.write(one, yes);
  const found = await Promise.all(all.map(async ({ id }) => (await files.read(id)) !== null));
  expect(found).toEqual([...found].sort());
  expect(found.at(-1)).toBe(true);
  expect(files.size.bytes).toBeLessThanOrEqual(2000);
  expect(filesOnDisk()).toHaveLength(found.filter(Boolean).length);
});

test("an id is looked up, never made into a path; a name that is none is refused", async () => {
  const files = open();
  expect(await files.read("../../postern.db")).toBeNull();
  expect(await files.write(capture("../key1"), yes)).toBe(false);
  expect(await files.write(capture("key1", { id: "../x" }), yes)).toBe(false);
  expect(filesOnDisk()).toEqual([]);
});

test("what a crash left behind under no proper name is taken away", async () => {
  mkdirSync(join(folder, "captures", "key1"), { recursive: true });
  writeFileSync(join(folder, "captures", "key1", "half"), "a prompt");
  expect(open().size.count).toBe(0);
  expect(filesOnDisk()).toEqual([]);
});
