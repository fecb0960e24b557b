import { expect, test } from "vitest";
import { basicHardware, type RunTool, readGpus } from "./hardware.ts";

const tools =
  (outputs: Record<string, string>): RunTool =>
  async (file) =>
    outputs[file] ?? null;

test("basicHardware() says what the machine is", () => {
  const hardware = basicHardware();
  expect(hardware.cpus).toBeGreaterThan(0);
  expect(hardware.memoryBytes).toBeGreaterThan(1024 * 1024);
  expect(hardware.gpus).toEqual([]);
});

test("readGpus() reads what nvidia-smi prints", async () => {
  const output = "NVIDIA GeForce RTX 4090, 24564 MiB\nNVIDIA GeForce RTX 3060, 12288 MiB\n";
  expect(await readGpus(tools({ "nvidia-smi": output }))).toEqual([
    "NVIDIA GeForce RTX 4090 (24564 MiB)",
    "NVIDIA GeForce RTX 3060 (12288 MiB)",
  ]);
});

test("readGpus() reads what rocm-smi prints, wherever the column is", async () => {
  const output = "device,Card Model,Card Series,Card Vendor\ncard0,0x744c,Radeon RX 7900 XTX,AMD\n";
  expect(await readGpus(tools({ "rocm-smi": output }))).toEqual(["Radeon RX 7900 XTX"]);
});

test("readGpus() bounds what a tool says", async () => {
  const output = `${"x".repeat(1000)}\u001b[31m, 1 MiB\n`.repeat(200);
  const gpus = await readGpus(tools({ "nvidia-smi": output }));
  expect(gpus.length).toBe(64);
  for (const name of gpus) expect(name).toMatch(/^[\x20-\x7e]{1,128}$/);
});

test("readGpus() of this machine does not fail", async () => {
  expect(Array.isArray(await readGpus())).toBe(true);
});
