import { readFileSync, rmSync } from "node:fs";
import { z } from "zod";
import type { Clock } from "../lib/clock.ts";
import { writePrivateFile } from "../lib/private-file.ts";

/** How often it is looked whether a killed process is gone, and how often at most. */
const GONE_CHECK_MS = 50;
const MAX_GONE_CHECKS = 100;

const record = z.object({ pid: z.int().min(2), startedAt: z.string().min(1) });

/**
 * Remembers a child in a file, so that the next agent can end it where this one is killed and cannot: it would keep the GPU's
 * memory, and its port. On Linux only, where the kernel says when a process started; a process number alone may be somebody else's
 * by then. The child leads a process group of its own.
 */
export function rememberProcess(path: string, pid: number): void {
  const startedAt = startOf(pid);
  if (startedAt === null) return;
  try {
    writePrivateFile(path, JSON.stringify({ pid, startedAt }));
  } catch {
    // Then it is not remembered; it runs all the same.
  }
}

/** The child is gone; nothing has to be ended. */
export function forgetProcess(path: string): void {
  rmSync(path, { force: true });
}

/**
 * Ends the process group that a killed agent left behind, if the file tells of one that still runs.
 *
 * @returns Its number, or null when there was none. Resolves when it is gone, or after five seconds. Does not throw.
 */
export async function endLeftover(path: string, clock: Clock): Promise<number | null> {
  const left = readRecord(path);
  forgetProcess(path);
  if (left === null || startOf(left.pid) !== left.startedAt) return null;
  try {
    process.kill(-left.pid, "SIGKILL");
  } catch {
    return null;
  }
  for (let checks = 0; checks < MAX_GONE_CHECKS && startOf(left.pid) === left.startedAt; checks += 1) {
    await new Promise<void>((resolve) => clock.after(GONE_CHECK_MS, resolve));
  }
  return left.pid;
}

function readRecord(path: string): z.infer<typeof record> | null {
  try {
    return record.safeParse(JSON.parse(readFileSync(path, "utf8"))).data ?? null;
  } catch {
    return null;
  }
}

/** When the process started, in the kernel's ticks since boot; null when it does not run, or nobody says. */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name in parentheses may hold anything; the state is the first field after it, the start the twentieth.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
    return fields[0] === "Z" || fields[19] === undefined ? null : `${boot}/${fields[19]}`;
  } catch {
    return null;
  }
}
