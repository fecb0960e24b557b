import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { chatAnswer } from "./answers.ts";
import { startTarget } from "./target-server.ts";

const run = promisify(execFile);
const CLIENT = resolve(import.meta.dirname, "..");
const TSC = resolve(CLIENT, "../node_modules/typescript/bin/tsc");

const PROGRAM = `
import { createFailoverFetch, FAILOVER_BASE_URL } from "@postern/client";
const failover = createFailoverFetch({ targets: [{ name: "own", baseUrl: process.argv[2], locality: "own" }] });
const response = await failover(FAILOVER_BASE_URL + "/chat/completions", { method: "POST", body: '{"model":"m"}' });
console.log(response.headers.get("x-postern-client-target"), (await response.json()).choices[0].message.content);
`;
const TYPED = `
import { createFailoverFetch, type FailoverFetch, failoverErrorOf } from "@postern/client";
export const failover: FailoverFetch = createFailoverFetch({ targets: [{ name: "own", baseUrl: "http://localhost", locality: "own" }] });
export const code: string | undefined = failoverErrorOf(null)?.code;
// @ts-expect-error a locality is one of two
createFailoverFetch({ targets: [{ name: "own", baseUrl: "http://localhost", locality: "elsewhere" }] });
`;

test("the package that npm packs runs with plain Node in an empty folder, has types, and depends on nothing", async () => {
  await using own = await startTarget(chatAnswer("from own"));
  const folder = await mkdtemp(join(tmpdir(), "postern-client-"));
  try {
    // Built with the types of browsers only: a use of something of Node's own does not compile.
    const source = join(folder, "repo/client");
    await cp(CLIENT, source, { recursive: true, filter: (path) => !/[/\\](?:dist|node_modules|test)$/.test(path) });
    await cp(resolve(CLIENT, "../tsconfig.json"), join(folder, "repo/tsconfig.json"));
    await run(process.execPath, [TSC, "-p", source]);
    const { stdout } = await run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", folder], {
      cwd: source,
    });
    const [packed] = Object.values(
      JSON.parse(stdout) as Record<string, { filename: string; files: Array<{ path: string }> }>,
    );
    const paths = packed?.files.map(({ path }) => path) ?? [];
    expect(paths.filter((path) => !path.startsWith("dist/")).sort()).toEqual(["LICENSE", "README.md", "package.json"]);
    expect(paths.filter((path) => /test/.test(path))).toEqual([]);

    const app = join(folder, "app");
    const installed = join(app, "node_modules/@postern/client");
    await mkdir(installed, { recursive: true });
    await run("tar", ["-xzf", join(folder, packed?.filename ?? ""), "-C", installed, "--strip-components=1"]);
    const manifest = JSON.parse(await readFile(join(installed, "package.json"), "utf8")) as Record<string, unknown>;
    expect(Object.keys(manifest).filter((key) => /dependencies/i.test(key))).toEqual([]);
    await writeFile(join(app, "app.mjs"), PROGRAM);
    const answered = await run(process.execPath, ["app.mjs", own.url], { cwd: app });
    expect(answered.stdout.trim()).toBe("own from own");

    await writeFile(join(app, "typed.mts"), TYPED);
    const flags = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2023,dom"];
    await run(process.execPath, [TSC, ...flags, "typed.mts"], { cwd: app });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
