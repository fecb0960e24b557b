import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

const LAUNCHER = resolve(import.meta.dirname, "../../bin/postern.js");

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-cli-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function run(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const env = { PATH: process.env["PATH"] ?? "", POSTERN_DATA: join(folder, "data"), POSTERN_CONFIG: "", HOME: folder };
  const child = spawn(process.execPath, [LAUNCHER, ...args], { cwd: folder, env, stdio: "pipe" });
  child.stdin.end();
  let out = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (piece) => (out += piece));
  child.stderr.setEncoding("utf8").on("data", (piece) => (err += piece));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, out, err };
}

test("endpoints and access: from making them to asking what they decide, without a gateway", {
  timeout: 120_000,
}, async () => {
  expect(await run("endpoints", "create", "vm", "--host", "vm.example.org", "--model", "llama*")).toMatchObject({
    code: 0,
  });
  expect(await run("keys", "create", "billing", "--endpoint", "vm")).toMatchObject({ code: 0 });
  const allowed = await run("access", "allow", "203.0.113.7", "--endpoint", "vm", "--label", "billing VM");
  expect(allowed.out).toContain('Rule "vm-allow-203.0.113.7": allow 203.0.113.7 at vm.');
  expect(allowed.err).toContain("every address that is not listed gets 403");

  const inside = await run("access", "test", "203.0.113.7", "--endpoint", "vm", "--key", "billing", "--json");
  expect(inside.code).toBe(0);
  expect(JSON.parse(inside.out)).toMatchObject({ isAllowed: true, rule: { label: "billing VM" } });
  const outside = await run("access", "test", "198.51.100.1", "--endpoint", "vm");
  expect(outside.code).toBe(1);
  expect(outside.out).toMatch(/refused \(address_denied\)[\s\S]*none of them holds 198\.51\.100\.1/);

  expect((await run("endpoints", "list")).out).toMatch(/vm +vm\.example\.org .* llama\* +1 +1 +listed/);
  expect((await run("access", "list")).out).toMatch(/vm-allow-203\.0\.113\.7 +allow +203\.0\.113\.7 +vm /);
  expect((await run("endpoints", "remove", "vm")).err).toContain("Keys that work belong to the endpoint");
});

test("access says what is wrong with a range, and what was meant", { timeout: 60_000 }, async () => {
  const refused = await run("access", "deny", "10.1.2.3/24");
  expect(refused.code).toBe(1);
  expect(refused.err).toContain("write 10.1.2.0/24 for the range, or 10.1.2.3 for the address");
  expect(await run("endpoints", "update", "default")).toMatchObject({ code: 2 });
  expect(await run("endpoints", "update", "default", "--may-leave", "maybe")).toMatchObject({ code: 2 });
});
