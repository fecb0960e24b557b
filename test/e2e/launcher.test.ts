import { readFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { cleanUp, Postern, temporaryFolder } from "../support/postern.ts";

afterEach(cleanUp);

const commandLineOf = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");

async function startGateway(env: Record<string, string> = {}): Promise<Postern> {
  const data = await temporaryFolder("launcher");
  const args = ["gateway", "--data", data, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
  const gateway = new Postern(args, { env });
  await gateway.until(() => gateway.stdout.includes("Ctrl-C stops it"), "its address");
  return gateway;
}

// Elsewhere there is no /proc to ask. On Windows nothing is replaced at all.
test.runIf(process.platform === "linux")(
  "a gateway runs with a small young generation, in the process that was started",
  async () => {
    const gateway = await startGateway();
    expect(commandLineOf(gateway.pid)).toEqual(
      expect.arrayContaining(["--min-semi-space-size=4", "--max-semi-space-size=8"]),
    );
    gateway.child.kill("SIGTERM");
    expect(await gateway.exited).toBe(0);
  },
);

test.runIf(process.platform === "linux")("what the operator says about the semi-space counts", async () => {
  const gateway = await startGateway({ NODE_OPTIONS: "--max-semi-space-size=32" });
  expect(commandLineOf(gateway.pid).join(" ")).not.toContain("semi-space");
});
