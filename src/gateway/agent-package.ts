import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { PosternError } from "../errors.ts";

const BUNDLE_TIMEOUT_MS = 60_000;

/** The agent as one file of this version, as it is served at `/.postern/agent.mjs`. */
export interface AgentPackage {
  bytes: Buffer;
  /** SHA-256 in hex; the line that `nodes invite` prints carries it. */
  sha256: string;
}

/**
 * Gives the agent's package: the built file of an installed Postern, or one bundled now when running from a checkout.
 * Read once and kept. A failure is not kept: the next call tries again.
 */
export class AgentPackageSource {
  #reading: Promise<AgentPackage> | null = null;

  /** Rejects with `package_unavailable`. */
  read(): Promise<AgentPackage> {
    this.#reading ??= readPackage().catch((error: unknown) => {
      this.#reading = null;
      throw error;
    });
    return this.#reading;
  }
}

async function readPackage(): Promise<AgentPackage> {
  const built = fileURLToPath(new URL("../agent.mjs", import.meta.url));
  const bundler = fileURLToPath(new URL("../../scripts/bundle-agent.ts", import.meta.url));
  try {
    const bytes = existsSync(bundler) ? await bundle(bundler) : await readFile(built);
    return { bytes, sha256: createHash("sha256").update(bytes).digest("hex") };
  } catch (cause) {
    throw new PosternError("package_unavailable", {
      hint: "Install Postern on the other machine from npm and run `postern agent join` there.",
      cause,
    });
  }
}

async function bundle(bundler: string): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), "postern-agent-"));
  try {
    const file = join(folder, "agent.mjs");
    await promisify(execFile)(process.execPath, [bundler, file], { timeout: BUNDLE_TIMEOUT_MS });
    return await readFile(file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
