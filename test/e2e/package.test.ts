import { execFile } from "node:child_process";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEMO_SENTENCE } from "../../src/engines/embedded/demo-model.ts";
import { eventually } from "../support/eventually.ts";
import { cleanUp, linkEngine, Postern, postern, temporaryFolder } from "../support/postern.ts";

/**
 * What is published, used as its users do: packed, installed into an empty folder, `up` started from it, and a second
 * machine joined with nothing but the line that `nodes invite` prints.
 */
const ROOT = resolve(import.meta.dirname, "../..");
const run = promisify(execFile);

interface Serving {
  baseUrl: string;
  apiKey: string | null;
  models: string[];
  modelsReason: string | null;
}

let folder: string;
let launcher: string;
let hasEngine: boolean;

beforeAll(async () => {
  folder = await temporaryFolder("package");
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", folder], {
    cwd: ROOT,
    maxBuffer: 2 ** 24,
  });
  // What the build prints comes first.
  const packed = JSON.parse(stdout.slice(stdout.indexOf("[\n"))) as Array<{ filename: string }>;
  const install = join(folder, "installed");
  await mkdir(install);
  await run(
    "npm",
    ["install", "--no-audit", "--no-fund", "--prefix", install, join(folder, packed[0]?.filename ?? "")],
    { cwd: install },
  );
  launcher = join(install, "node_modules/postern/bin/postern.js");
  hasEngine = await linkEngine(join(folder, "data"));
});
afterAll(cleanUp);

describe("the published package", () => {
  it("holds the program in one piece, pins no Node and brings no other package and no files of development", async () => {
    const home = join(folder, "installed/node_modules/postern");
    const files = await readdir(home, { recursive: true });
    expect(
      files.filter((file) => /\.test\.|__fixtures__|(^|\/)(src|test|scripts|bench|toolchain)\//.test(file)),
    ).toEqual([]);
    expect(files).toEqual(expect.arrayContaining(["dist/agent.mjs", "dist/third-party-licences.txt"]));
    const manifest = JSON.parse(await readFile(join(home, "package.json"), "utf8")) as Record<string, unknown>;
    expect(manifest["optionalDependencies"]).toBeUndefined();
    expect(manifest["dependencies"]).toBeUndefined();
    const installed = await readdir(join(folder, "installed/node_modules"));
    expect(installed.filter((name) => !name.startsWith("."))).toEqual(["postern"]);
  });

  it("is small at rest: its text is ASCII, and the store's thread loads no schema until it needs one", async () => {
    const chunks = join(folder, "installed/node_modules/postern/dist/cli");
    for (const name of await readdir(chunks)) {
      expect(/[^\p{ASCII}]/u.exec(await readFile(join(chunks, name), "utf8"))?.[0], name).toBeUndefined();
    }
    const loaded = new Set(["worker.js"]);
    for (const name of loaded) {
      const text = await readFile(join(chunks, name), "utf8");
      expect(text, name).not.toContain("node_modules/zod/");
      for (const [, next = ""] of text.matchAll(/^import .*"\.\/([^"]+)";$/gm)) loaded.add(next);
    }
    expect(loaded.size).toBeGreaterThan(2);
  });

  it("serves with `up`, and a second machine joins with the pasted line alone", async (context) => {
    context.skip(!hasEngine, "llama.cpp could not be installed");
    const up = new Postern(
      ["up", "--json", "--data", join(folder, "data"), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
      {
        launcher,
        cwd: folder,
      },
    );
    const serving = await up.firstJson<Serving>();
    expect(serving).toMatchObject({ modelsReason: null, models: ["postern-demo"] });
    const answer = await ask(serving, serving.models[0] ?? "");
    expect(answer.trim()).toBe(DEMO_SENTENCE);

    const invited = await postern<{ joinLine: string }>(
      ["nodes", "invite", "second", "--models", "*", "--data", join(folder, "data")],
      {
        launcher,
      },
    );
    const second = join(folder, "second");
    await linkEngine(second);
    // The line starts `node`; its shell must find the one that the tests run on.
    const joined = new Postern(["-c", `exec ${invited.joinLine}`], {
      program: "/bin/sh",
      env: { POSTERN_DATA: second, PATH: `${resolve(process.execPath, "..")}:${process.env["PATH"]}` },
    });
    const { secret } = await postern<{ secret: string }>(
      ["keys", "create", "pinner", "--may-pin", "--data", join(folder, "data")],
      { launcher },
    );
    const pinned = await eventually(async () => {
      const answered = await ask({ ...serving, apiKey: secret }, "postern-demo", { "x-postern-node": "second" });
      return answered.includes('"no_target"') ? undefined : answered;
    }, "the second node");
    expect(pinned.trim()).toBe(DEMO_SENTENCE);
    await joined.stop();
    expect(await up.stop()).toBe(0);
  });
});

async function ask({ baseUrl, apiKey }: Serving, model: string, headers: Record<string, string> = {}): Promise<string> {
  const response = await fetch(`${baseUrl}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json", ...headers },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "hello" }] }),
  });
  const body = (await response.json()) as { choices?: Array<{ message: { content: string } }> };
  return body.choices?.[0]?.message.content ?? JSON.stringify(body);
}
