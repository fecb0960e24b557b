import { execFile } from "node:child_process";
import { arch, cpus, platform, totalmem } from "node:os";
import type { NodeReport } from "../tunnel/link.ts";

/** Longest wait for a vendor's tool. A driver in trouble can hang it for ever. */
const TOOL_TIMEOUT_MS = 4_000;
const MAX_TOOL_OUTPUT_BYTES = 64 * 1024;
const MAX_GPUS = 64;
const MAX_GPU_NAME_LENGTH = 128;

export type Hardware = NodeReport["hardware"];

/** Runs a program without a shell and gives its output, or null when it is not there, fails or takes too long. */
export type RunTool = (file: string, args: readonly string[]) => Promise<string | null>;

/** What the machine is, without its graphics cards. At once. */
export function basicHardware(): Hardware {
  return { platform: platform(), arch: arch(), cpus: cpus().length, memoryBytes: totalmem(), gpus: [] };
}

/**
 * Names of the graphics cards as the vendors' tools tell them (`NVIDIA GeForce RTX 4090 (24564 MiB)`). Empty when there are
 * none or no tool is installed; asked once, because a tool that is asked every few seconds keeps the card awake.
 */
export async function readGpus(run: RunTool = runTool): Promise<string[]> {
  const nvidia = await run("nvidia-smi", ["--query-gpu=name,memory.total", "--format=csv,noheader"]);
  if (nvidia !== null) return clean(nvidia.split("\n").map((line) => line.replace(/^([^,]+),\s*(.+)$/, "$1 ($2)")));
  const amd = await run("rocm-smi", ["--showproductname", "--csv"]);
  if (amd !== null) return clean(readRocm(amd));
  // Apple's graphics are part of the chip.
  return platform() === "darwin" ? clean([cpus()[0]?.model ?? ""]) : [];
}

/** `device,Card Series,Card Model,…` and a line for each card; columns differ by version. */
function readRocm(output: string): string[] {
  const [header = "", ...lines] = output.split("\n").filter((line) => line.includes(","));
  const columns = header.split(",");
  const series = columns.findIndex((name) => /card series/i.test(name));
  return lines.map((line) => line.split(",")[series === -1 ? 1 : series] ?? "");
}

function clean(names: string[]): string[] {
  return names
    .map((name) =>
      name
        .replace(/[^\x20-\x7e]/g, "")
        .trim()
        .slice(0, MAX_GPU_NAME_LENGTH),
    )
    .filter((name) => name !== "")
    .slice(0, MAX_GPUS);
}

function runTool(file: string, args: readonly string[]): Promise<string | null> {
  return new Promise((resolve) => {
    execFile(
      file,
      args,
      { timeout: TOOL_TIMEOUT_MS, killSignal: "SIGKILL", maxBuffer: MAX_TOOL_OUTPUT_BYTES, windowsHide: true },
      (error, stdout) => resolve(error === null ? stdout : null),
    );
  });
}
