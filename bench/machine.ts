import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

/** What a figure depends on, in words. */
export function describeMachine(): string {
  const processors = cpus();
  const model = processors[0]?.model.replace(/\s+/g, " ").trim() ?? "unknown processor";
  const system = /^PRETTY_NAME="?([^"\n]+)/m.exec(readSafely("/etc/os-release"))?.[1] ?? process.platform;
  const isVirtual = /^flags.*\bhypervisor\b/m.test(readSafely("/proc/cpuinfo"));
  return [
    `${processors.length} × ${model}${isVirtual ? " (virtual machine)" : ""}`,
    `${Math.round(totalmem() / 2 ** 30)} GiB memory`,
    `${system}, Linux ${release().split("-")[0]}`,
    `Node ${process.version}`,
  ].join("; ");
}

function readSafely(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
