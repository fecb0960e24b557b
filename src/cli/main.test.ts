import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { listCommandHelp, renderCliReference } from "./reference.ts";

const LAUNCHER = resolve(import.meta.dirname, "../../bin/postern.js");

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-cli-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

interface Run {
  code: number | null;
  out: string;
  err: string;
}

async function run(args: string[], options: { env?: Record<string, string>; input?: string } = {}): Promise<Run> {
  const { PATH = "" } = process.env;
  const child = spawn(process.execPath, [LAUNCHER, ...args], {
    cwd: folder,
    env: { PATH, POSTERN_DATA: join(folder, "data"), POSTERN_CONFIG: "", HOME: folder, ...options.env },
    stdio: "pipe",
  });
  child.stdin.end(options.input ?? "");
  let out = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (piece) => (out += piece));
  child.stderr.setEncoding("utf8").on("data", (piece) => (err += piece));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, out, err };
}

test("--help, --version and a bare call end well and print to stdout", async () => {
  const [help, version, bare] = await Promise.all([run(["--help"]), run(["--version"]), run([])]);
  expect(help).toMatchObject({ code: 0, err: "" });
  expect(help.out).toContain("Usage: postern");
  expect(version).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  expect(bare).toMatchObject({ code: 0, err: "" });
});

test("every command's help teaches with an example, takes --json and stays within its width", () => {
  for (const { name, help } of listCommandHelp()) {
    expect(help, name).toContain(`Usage: ${name}`);
    expect(
      Math.max(
        ...help
          .split("\n")
          .filter((line) => !line.includes("$ "))
          .map((line) => line.length),
      ),
      name,
    ).toBeLessThanOrEqual(100);
    if (/Commands:/.test(help) && name !== "postern agent") continue;
    expect(help, name).toMatch(new RegExp(`Examples:[\\s\\S]*\\$ .*${name}`));
    expect(help, name).toContain("--json");
  }
  expect(renderCliReference()).toContain("## `postern nodes invite`");
});

test("what is not understood ends with 2, one clear line and the next step, and with --json one value", async () => {
  const runs = await Promise.all([
    run(["nonsense"]),
    run(["keys", "create"]),
    run(["keys", "create", "a", "--expires", "soon"]),
    run(["usage", "--by", "week"]),
    run(["nodes", "invite", "a", "--max", "3"]),
    run(["agent", "join", "ftp://x", "code"]),
    run(["up", "--engine", "nonsense"]),
  ]);
  for (const { code, out, err } of runs) {
    expect(code, err).toBe(2);
    expect(out).toBe("");
    expect(err.trim().split("\n").length, err).toBeLessThanOrEqual(4);
    expect(err).not.toContain("    at ");
  }
  const json = await run(["keys", "create", "a", "--expires", "soon", "--json"]);
  expect(json.code).toBe(2);
  expect(JSON.parse(json.out)).toEqual({
    error: {
      code: "usage",
      message: expect.stringContaining("--expires must be a whole number with a unit"),
      hint: null,
    },
  });
  expect(JSON.parse((await run(["keys", "--json"])).out).error.code).toBe("usage");
});

test("without a gateway keys are made, shown once, listed and revoked in the store itself", async () => {
  const created = await run(["keys", "create", "laptop", "--model", "llama*", "--expires", "90d", "--json"]);
  expect(created).toMatchObject({ code: 0, err: "" });
  expect(created.out.trim().split("\n")).toHaveLength(1);
  const { secret, key } = JSON.parse(created.out);
  expect(secret).toMatch(new RegExp(`^pst_${key.id}_`));

  const listed = await run(["keys", "list"]);
  expect(listed.out).toMatch(/laptop\s+active\s+llama\*\s+/);
  expect(listed.out).not.toContain("\u001b[");
  expect(listed.out).not.toContain(secret.slice(20));

  expect((await run(["keys", "revoke", "laptop"])).code).toBe(0);
  expect(JSON.parse((await run(["keys", "list", "--json"])).out)).toEqual({ keys: [] });
  expect(JSON.parse((await run(["keys", "show", key.id, "--json"])).out).state).toBe("revoked");
  const missing = await run(["keys", "show", "nobody"]);
  expect(missing.code).toBe(1);
  expect(missing.err).toMatch(/^postern: There is no key .*\nNext step: .*keys list/);
});

test("without a gateway status says so and ends with 1, and what needs one says how to start it", async () => {
  const status = await run(["status", "--json"]);
  expect(status.code).toBe(1);
  expect(JSON.parse(status.out)).toMatchObject({ gateway: null, keys: { total: 0 } });
  const models = await run(["models", "list"]);
  expect(models.code).toBe(1);
  expect(models.err).toContain("postern up");
});

test("an invitation can be made before the gateway runs, and a backup too", async () => {
  const invited = JSON.parse(
    (await run(["nodes", "invite", "forge", "--url", "https://ai.example.org", "--json"])).out,
  );
  expect(invited).toMatchObject({ node: "forge", joinLine: null, warnings: [] });
  expect(invited.joinCommand).toBe(`postern agent join https://ai.example.org ${invited.code}`);
  expect((await run(["nodes", "list"])).out).toMatch(/forge\s+invited/);

  const written = await run(["backup", "copy.db", "--json"]);
  expect(JSON.parse(written.out)).toEqual({ path: expect.stringMatching(/copy\.db$/), bytes: expect.any(Number) });
  const again = await run(["backup", "copy.db"]);
  expect(again.code).toBe(1);
});

test("config check reports every fault with its line and changes nothing", async () => {
  writeFileSync(join(folder, "postern.yaml"), "gateway:\n  listen: nowhere\n  limits: { body: 8MB }\nfoo: 1\n");
  const checked = await run(["config", "check"]);
  expect(checked.code).toBe(1);
  expect(checked.err).toMatch(
    /3 faults\n.*postern\.yaml:2:11: "gateway\.listen".*\n.*:3:19: "gateway\.limits\.body".*\n.*:4:1: "foo"/,
  );
  const { error } = JSON.parse((await run(["config", "check", "--json"])).out);
  expect(error.faults.map((fault: { line: number }) => fault.line)).toEqual([2, 3, 4]);
  expect(existsSync(join(folder, "data"))).toBe(false);

  writeFileSync(join(folder, "postern.yaml"), "nodes: { a: { url: http://10.0.0.2:1, apiKey: env:ENGINE_KEY } }\n");
  const shown = await run(["config", "show", "--json"], { env: { ENGINE_KEY: "hunter2" } });
  expect(shown.out).not.toContain("hunter2");
  expect(JSON.parse((await run(["config", "schema"])).out).additionalProperties).toBe(false);
});

test("up and gateway name a taken port and its holder, end with 1 and leave no store half-written", async () => {
  const holder = createServer();
  await new Promise<void>((ready) => holder.listen(0, "127.0.0.1", ready));
  const { port } = holder.address() as { port: number };
  const listen = ["--listen", `127.0.0.1:${port}`, "--admin-listen", "127.0.0.1:0"];
  const [up, gateway] = await Promise.all([
    run(["up", "--engine", "none", "--json", ...listen]),
    run(["gateway", ...listen], { env: { POSTERN_DATA: join(folder, "other") } }),
  ]);
  await new Promise((closed) => holder.close(closed));
  expect(up.code).toBe(1);
  expect(JSON.parse(up.out).error).toMatchObject({
    code: "port_taken",
    message: expect.stringContaining(`port ${port} is taken`),
  });
  expect(up.err.match(/is taken by/g)).toHaveLength(1);
  if (process.platform === "linux") expect(up.err).toContain(`pid ${process.pid}`);
  expect(gateway).toMatchObject({ code: 1, out: "", err: expect.stringMatching(/Next step: .*another port/) });
  expect(readdirSync(join(folder, "data")).filter((name) => /sock|-wal$/.test(name))).toEqual([]);
  expect(JSON.parse((await run(["keys", "list", "--all", "--json"])).out)).toEqual({ keys: [] });
});

test("a listener off loopback without TLS is refused with a reason", async () => {
  const refused = await run(["gateway", "--listen", "0.0.0.0:0", "--admin-listen", "127.0.0.1:0"]);
  expect(refused).toMatchObject({ code: 1, out: "", err: expect.stringMatching(/without TLS.*\nNext step:/) });
});

test("a data folder that cannot be used is said in one line", async () => {
  writeFileSync(join(folder, "file"), "");
  for (const command of [["up", "--engine", "none"], ["gateway"], ["keys", "list"]]) {
    const refused = await run([...command, "--data", join(folder, "file", "data")]);
    expect(refused).toMatchObject({ code: 1, out: "", err: expect.stringMatching(/Cannot use the data folder/) });
    expect(refused.err).not.toContain("    at ");
  }
});

test("chat says how to get a key, and where the gateway should be", async () => {
  const keyless = await run(["chat", "Hello"]);
  expect(keyless.code).toBe(2);
  expect(keyless.err).toContain("POSTERN_KEY");
  const away = await run(["chat", "Hello", "--url", "http://127.0.0.1:1"], { env: { POSTERN_KEY: "pst_x" } });
  expect(away).toMatchObject({
    code: 1,
    err: expect.stringMatching(/Cannot reach the gateway at http:\/\/127\.0\.0\.1:1\/v1\nNext step:/),
  });
  expect(away.err).not.toContain("pst_x");
});

test("an admin token goes over https or to loopback only, and says where POSTERN_URL has to point", async () => {
  const env = { POSTERN_ADMIN_TOKEN: "psta_secret", POSTERN_URL: "http://ai.example.org" };
  const clear = await run(["keys", "list"], { env });
  expect(clear).toMatchObject({ code: 2, out: "", err: expect.stringMatching(/in clear: .*\nNext step: .*ssh -L/) });
  const nowhere = await run(["keys", "list"], { env: { POSTERN_ADMIN_TOKEN: "psta_secret" } });
  expect(nowhere).toMatchObject({ code: 2, err: expect.stringContaining("POSTERN_URL must be") });
  const away = await run(["keys", "list"], { env: { ...env, POSTERN_URL: "http://127.0.0.1:1" } });
  expect(away).toMatchObject({
    code: 1,
    err: expect.stringContaining("Cannot reach the gateway at http://127.0.0.1:1"),
  });
  expect(clear.err + nowhere.err + away.err).not.toContain("psta_secret");
});

test("tokens, users and the audit trail work without a gateway too, and a password is never an argument", async () => {
  const made = await run(["admin", "tokens", "create", "ci", "--json"]);
  expect(JSON.parse(made.out).secret).toMatch(/^psta_/);
  const unasked = await run(["admin", "users", "create", "ada", "--role", "owner"]);
  expect(unasked).toMatchObject({ code: 2, err: expect.stringContaining("--password-file") });
  writeFileSync(join(folder, "password"), "correct horse battery\n");
  const user = await run(["admin", "users", "create", "ada", "--password-file", join(folder, "password"), "--json"]);
  expect(JSON.parse(user.out)).toMatchObject({ name: "ada", role: "viewer" });
  const { entries } = JSON.parse((await run(["audit", "list", "--json"])).out);
  expect(entries.map((one: { action: string }) => one.action)).toEqual(["users.create", "tokens.create"]);
  expect(entries[0].actor.kind).toBe("offline");
  const verdict = await run(["audit", "verify", "--json"]);
  expect([verdict.code, JSON.parse(verdict.out).fault]).toEqual([0, null]);
  const anchored = await run(["audit", "verify", "--anchor", `9:${"0".repeat(64)}`, "--json"]);
  expect([anchored.code, JSON.parse(anchored.out).fault.seq]).toEqual([1, 3]);
  expect(JSON.parse((await run(["audit", "export"])).out).entries).toHaveLength(2);
});
