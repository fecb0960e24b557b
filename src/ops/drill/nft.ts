import { spawn } from "node:child_process";
import { isIPv6 } from "node:net";

/** The one table that drills use. Nothing else is ever touched. */
export const TABLE = "inet postern_drill";
const SETS = { 4: "blocked4", 6: "blocked6" } as const;
/** Longest that `nft` may take. */
const NFT_TIMEOUT_MS = 10_000;
/** Most of what it says that is kept. */
const MAX_OUTPUT = 64 * 1024;

/** An address and the port that is blocked there. */
export interface Blocked {
  address: string;
  port: number;
}

/** Runs `nft` with this script on its standard input, or with these arguments. @returns What it printed. Rejects with its words when it fails. */
export type RunNft = (args: readonly string[], script: string | null) => Promise<string>;

/**
 * The ruleset of a block, for `nft -f -`: connections from this machine to these addresses and ports get a reset at once.
 *
 * The addresses are elements that the kernel itself takes out when their time is over, whatever has become of Postern by then. What is
 * left is a table with empty sets, which matches nothing. One transaction: it is there as a whole or not at all.
 */
export function renderBlock(blocked: readonly Blocked[], lengthMs: number): string {
  const seconds = Math.max(1, Math.ceil(lengthMs / 1000));
  const elements = (version: 4 | 6): string => {
    const ofVersion = blocked.filter(({ address }) => isIPv6(address) === (version === 6));
    if (ofVersion.length === 0) return "";
    return `add element ${TABLE} ${SETS[version]} { ${ofVersion
      .map(({ address, port }) => `${address} . ${port} timeout ${seconds}s`)
      .join(", ")} }\n`;
  };
  const rules = ([4, 6] as const).flatMap((version) => {
    const family = version === 4 ? "ip" : "ip6";
    return [
      `add rule ${TABLE} output ${family} daddr . tcp dport @${SETS[version]} counter reject with tcp reset`,
      `add rule ${TABLE} output ${family} daddr . udp dport @${SETS[version]} counter reject`,
    ];
  });
  return [
    renderRemoval().trimEnd(),
    `add table ${TABLE}`,
    `add set ${TABLE} ${SETS[4]} { type ipv4_addr . inet_service; flags timeout; timeout ${seconds}s; }`,
    `add set ${TABLE} ${SETS[6]} { type ipv6_addr . inet_service; flags timeout; timeout ${seconds}s; }`,
    `add chain ${TABLE} output { type filter hook output priority filter; policy accept; }`,
    ...rules,
    elements(4) + elements(6),
  ].join("\n");
}

/** Takes the table away, whether or not it is there. */
export function renderRemoval(): string {
  return `add table ${TABLE}\ndelete table ${TABLE}\n`;
}

/** Puts a block up and checks that the kernel has it. Rejects, with nothing blocked, where it has not. */
export async function applyBlock(blocked: readonly Blocked[], lengthMs: number, run: RunNft): Promise<void> {
  await run(["-f", "-"], renderBlock(blocked, lengthMs));
  const standing = await listBlocked(run);
  const missing = blocked.filter(({ address }) => !standing.includes(address));
  if (missing.length === 0) return;
  await removeBlock(run);
  throw new Error(`nft took the block but does not show ${missing.map(({ address }) => address).join(", ")}`);
}

/** Lifts the block and checks that it is gone. Idempotent. */
export async function removeBlock(run: RunNft): Promise<void> {
  await run(["-f", "-"], renderRemoval());
  const standing = await listBlocked(run);
  if (standing.length > 0) throw new Error(`nft still blocks ${standing.join(", ")}`);
}

/** Addresses that are blocked now. */
export async function listBlocked(run: RunNft): Promise<string[]> {
  const tables = await run(["list", "tables"], null);
  if (!tables.split("\n").some((line) => line.trim() === `table ${TABLE}`)) return [];
  const found: string[] = [];
  for (const set of Object.values(SETS)) {
    const text = await run(["list", "set", ...TABLE.split(" "), set], null);
    const elements = /elements = \{([^}]*)\}/.exec(text)?.[1] ?? "";
    for (const element of elements.split(",")) {
      const address = element.trim().split(" ", 1)[0] ?? "";
      if (address !== "") found.push(address);
    }
  }
  return found;
}

/** The `nft` of this machine. */
export function systemNft(command: readonly [string, ...string[]] = ["nft"]): RunNft {
  return (args, script) =>
    new Promise((resolve, reject) => {
      const [program, ...first] = command;
      const child = spawn(program, [...first, ...args], { stdio: ["pipe", "pipe", "pipe"], timeout: NFT_TIMEOUT_MS });
      let out = "";
      let said = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        out = (out + text).slice(0, MAX_OUTPUT);
      });
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        said = (said + text).slice(0, MAX_OUTPUT);
      });
      child.on("error", reject);
      child.on("close", (code) => {
        if (code === 0) resolve(out);
        else reject(new Error(`nft: ${said.trim().split("\n")[0] ?? ""} (exit code ${code ?? "none"})`));
      });
      child.stdin.on("error", () => {});
      child.stdin.end(script ?? "");
    });
}
