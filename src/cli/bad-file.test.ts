import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pino } from "pino";
import { expect, test } from "vitest";
import { gatewayConfig } from "../../test/support/gateway-config.ts";
import { startGateway } from "../gateway/main.ts";

const LAUNCHER = resolve(import.meta.dirname, "../../bin/postern.js");

// The file was being edited when a key leaked, and `keys revoke` said what was wrong with the file.
test("commands reach a gateway that runs, whatever is wrong with the file by now", { timeout: 120_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "postern-bad-file-"));
  const config = gatewayConfig(join(folder, "data"));
  const running = await startGateway(config, { log: pino({ level: "silent" }) });
  async function run(...args: string[]): Promise<[number | null, string]> {
    const env = { PATH: process.env["PATH"] ?? "", POSTERN_DATA: config.dataFolder, HOME: folder };
    const child = spawn(process.execPath, [LAUNCHER, ...args], { cwd: folder, env, stdio: "pipe" });
    let text = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (piece) => (text += piece));
    const [code] = (await once(child, "close")) as [number | null];
    return [code, text];
  }
  try {
    expect((await run("keys", "create", "leaked"))[0]).toBe(0);
    writeFileSync(join(folder, "postern.yaml"), "nonsense: 1\n");
    expect(await run("keys", "revoke", "leaked")).toEqual([0, expect.stringContaining("revoked")]);
    expect((await run("status"))[1]).toContain("gateway");
    await running.stop();
    // Without one the store is opened by what the file says, so the file must be right.
    expect(await run("keys", "list")).toEqual([1, expect.stringContaining("nonsense")]);
  } finally {
    await running.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
