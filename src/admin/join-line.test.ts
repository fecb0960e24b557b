import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { joinLine } from "./join-line.ts";

// Stands in for the agent's package: shows what it was started with.
const PACKAGE = `
let code = "";
for await (const piece of process.stdin) code += piece;
console.log(JSON.stringify({ argv: process.argv.slice(2), code, execArgv: process.execArgv }));
process.exitCode = 7;
`;
const CODE = "pstn_AbCdEf123456_se-cret_finger-print";

let folder: string;
let server: Server | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-join-"));
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  const closing = server;
  server = undefined;
  if (closing !== undefined) await new Promise((resolve) => closing.close(resolve));
});

async function serve(listener: RequestListener): Promise<string> {
  server = createServer(listener);
  await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function run(line: string): Promise<{ status: number | null; out: string; err: string }> {
  const PATH = `${dirname(process.execPath)}:${process.env["PATH"] ?? ""}`;
  const child: ChildProcess = spawn("sh", ["-c", line], { env: { PATH, POSTERN_DATA: folder }, stdio: "pipe" });
  let out = "";
  let err = "";
  child.stdout?.on("data", (piece) => (out += piece));
  child.stderr?.on("data", (piece) => (err += piece));
  const [status] = (await once(child, "close")) as [number | null];
  return { status, out, err };
}

const sha256 = createHash("sha256").update(PACKAGE).digest("hex");

test.skipIf(process.platform === "win32")(
  "the pasted line fetches the agent, checks it, saves it and joins",
  async () => {
    const asked: string[] = [];
    const gatewayUrl = await serve((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.end(PACKAGE);
    });
    const { status, out, err } = await run(joinLine({ gatewayUrl, sha256, code: CODE }));
    expect(err).toBe("");
    expect(JSON.parse(out)).toEqual({ argv: ["agent", "join", gatewayUrl, "-"], code: CODE, execArgv: [] });
    expect(status).toBe(7);
    expect(asked).toEqual(["GET /.postern/agent.mjs"]);
    expect(readFileSync(join(folder, "agent.mjs"), "utf8")).toBe(PACKAGE);
  },
);

test.skipIf(process.platform === "win32")(
  "the pasted line runs nothing whose digest is not the promised one",
  async () => {
    const gatewayUrl = await serve((_request, response) => response.end(`${PACKAGE} `));
    const { status, out, err } = await run(joinLine({ gatewayUrl, sha256, code: CODE }));
    expect({ status, out }).toEqual({ status: 1, out: "" });
    expect(err).toMatch(/^postern: cannot start the agent of .*SHA-256 is not the promised one.*\n$/);
    expect(() => statSync(join(folder, "agent.mjs"))).toThrow();
  },
);

test.skipIf(process.platform === "win32")(
  "the pasted line says in one line why the gateway did not give the agent",
  async () => {
    const gatewayUrl = await serve((_request, response) => response.writeHead(503).end("no"));
    const failed = await run(joinLine({ gatewayUrl, sha256, code: CODE }));
    expect(failed.status).toBe(1);
    expect(failed.err).toMatch(/HTTP status 503\n$/);
    const refused = await run(joinLine({ gatewayUrl: "http://127.0.0.1:1", sha256, code: CODE }));
    expect(refused.status).toBe(1);
    expect(refused.err).toMatch(/ECONNREFUSED/);
  },
);

test("the line has nothing in it that a shell or PowerShell would read", () => {
  const line = joinLine({ gatewayUrl: "https://ai.example.org", sha256, code: CODE });
  const script = /-e '([^']*)' /.exec(line)?.[1] ?? "";
  expect(line.split("'")).toHaveLength(3);
  expect(script).not.toMatch(/["$\n\\]/);
  expect(line.length).toBeLessThan(2500);
});

test("joinLine() refuses parts that could break out of the quoting", () => {
  const good = { gatewayUrl: "https://ai.example.org", sha256, code: CODE };
  for (const bad of [
    { gatewayUrl: "https://x;rm" },
    { gatewayUrl: "https://x/'" },
    { sha256: "zz" },
    { code: "a b" },
    { code: "$(id)" },
    { code: "-x" },
  ]) {
    expect(() => joinLine({ ...good, ...bad })).toThrow(/malformed/);
  }
});
