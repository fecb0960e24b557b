import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface PortHolder {
  pid: number;
  program: string;
}

/** Most processes that are looked at before giving up. */
const MAX_PROCESSES = 20_000;
const LISTEN_STATE = "0A";

/**
 * The process that listens on a TCP port of this machine, as far as this user may see it. Linux only, by reading `/proc`;
 * elsewhere, and for other users' processes, null. Never throws.
 */
export function findPortHolder(port: number, procFolder = "/proc"): PortHolder | null {
  if (process.platform !== "linux") return null;
  const inodes = new Set([
    ...listeningInodes(`${procFolder}/net/tcp`, port),
    ...listeningInodes(`${procFolder}/net/tcp6`, port),
  ]);
  if (inodes.size === 0) return null;
  const pids = list(procFolder).filter((name) => /^\d+$/.test(name));
  for (const pid of pids.slice(0, MAX_PROCESSES)) {
    const holds = list(`${procFolder}/${pid}/fd`).some((fd) => {
      const match = /^socket:\[(\d+)\]$/.exec(readLink(`${procFolder}/${pid}/fd/${fd}`));
      return match?.[1] !== undefined && inodes.has(match[1]);
    });
    if (holds) return { pid: Number(pid), program: read(`${procFolder}/${pid}/comm`).trim() };
  }
  return null;
}

function listeningInodes(file: string, port: number): string[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, "0");
  return read(file)
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[1]?.endsWith(`:${wanted}`) === true && fields[3] === LISTEN_STATE)
    .map((fields) => fields[9] ?? "");
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function readLink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
