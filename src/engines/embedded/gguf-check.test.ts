import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readGguf } from "./__fixtures__/read-gguf.ts";
import { encodeDemoModel } from "./demo-model.ts";
import { faultOfGguf } from "./gguf-check.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-gguf-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function faultOf(bytes: Uint8Array): Promise<string | null> {
  const path = join(folder, "file.gguf");
  await writeFile(path, bytes);
  return faultOfGguf(path);
}

describe("faultOfGguf()", () => {
  const model = encodeDemoModel("sentence");

  test("finds nothing wrong with a sound file", async () => {
    expect(await faultOf(model)).toBeNull();
  });

  test.each([
    ["", "the file is cut short"],
    ["PK\u0003\u0004 and so on, a zip file", "it is not a GGUF file"],
    ["GGUF but not really a model", "it is GGUF version 1953849888, which is not supported"],
    ["GGUF\u0003\0\0\0but not really a model at all", "its header is damaged"],
  ])("says what is wrong with %j", async (text, fault) => {
    expect(await faultOf(Buffer.from(text, "latin1"))).toBe(fault);
  });

  test("notices a file that was cut anywhere in its metadata", async () => {
    const end = readGguf(model).dataOffset - 1024;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: end - 1 }), async (length) => {
        expect(await faultOf(model.subarray(0, Math.min(length, 10_000)))).toBe("the file is cut short");
      }),
      { numRuns: 50 },
    );
  });

  test("ends on any garbage after a sound beginning", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (garbage) => {
        const fault = await faultOf(Buffer.concat([model.subarray(0, 24), garbage]));
        expect(["the file is cut short", "its header is damaged"]).toContain(fault);
      }),
      { numRuns: 200 },
    );
  });

  test("throws what the file system says of a file that is not there", () => {
    expect(() => faultOfGguf(join(folder, "missing"))).toThrow(expect.objectContaining({ code: "ENOENT" }));
  });
});
