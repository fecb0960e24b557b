import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SMALL_INPUT, SMALL_OUTPUT } from "./small-bundle.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-bundle-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function bundle(source: string): Promise<string> {
  const input = join(folder, "entry.ts");
  writeFileSync(input, source);
  const build = await rolldown({ ...SMALL_INPUT, input });
  try {
    const { output } = await build.generate({ ...SMALL_OUTPUT, codeSplitting: false });
    return output[0].code;
  } finally {
    await build.close();
  }
}

function run(code: string): unknown {
  const file = join(folder, "bundle.mjs");
  writeFileSync(file, code);
  return JSON.parse(execFileSync(process.execPath, [file], { encoding: "utf8" }));
}

describe("a bundle", () => {
  test("has node:http without the fetch that an import of it would load", async () => {
    const code = await bundle(`
      import http, { createServer, STATUS_CODES } from "node:http";
      const loaded = process.moduleLoadList.filter((name) => name.includes("deps/undici"));
      const isServer = createServer().constructor === http.Server;
      process.stdout.write(JSON.stringify({ loaded, isServer, text: STATUS_CODES[404] }));`);
    expect(run(code)).toEqual({ loaded: [], isServer: true, text: "Not Found" });
  });

  test("is ASCII, and its texts, templates and expressions mean what they did", async () => {
    const code = await bundle(`
      const backslash = "\\\\–";
      const found = ["a–b".split("–"), /^[–—]$/.test("—"), /^\\p{Emoji}🙂$/u.test("🙂🙂"), \`\${1}…🙂ü\`, backslash];
      process.stdout.write(JSON.stringify(found));`);
    expect(code).toMatch(/^\p{ASCII}*$/u);
    expect(run(code)).toEqual([["a", "b"], true, true, "1…🙂ü", "\\–"]);
  });

  test("is refused where an escape would mean something else", async () => {
    await expect(bundle('process.stdout.write(String(/\\–/.test("–")));')).rejects.toThrow("behind a backslash");
  });
});
