import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { endianness, networkInterfaces, platform } from "node:os";
import { type Clock, systemClock } from "../lib/clock.ts";
import { isLoopback } from "./engine-url.ts";

/** Longest wait for a connection to one of this machine's own addresses. They answer at once or are filtered. */
const CONNECT_TIMEOUT_MS = 300;

/** Own addresses that are tried where the system does not tell who listens where. */
const MAX_ADDRESSES = 16;

const LISTEN_STATE = "0A";

/** How to find out who listens where; replaced in tests. */
export interface ExposureSources {
  /** Content of a file, or null where there is none. */
  readText(path: string): Promise<string | null>;
  /** Addresses of this machine other than loopback. */
  ownAddresses(): string[];
  /** Whether a connection is accepted. */
  accepts(host: string, port: number): Promise<boolean>;
}

/**
 * Whether an engine can be reached from other machines, in words for a warning, or null when it cannot.
 *
 * An engine has no idea of keys and policy: whoever reaches it directly gets past everything that Postern checks. On Linux
 * the kernel's table of listening sockets is read; elsewhere the machine's own addresses are tried. Does not throw.
 */
export async function describeExposure(url: URL, sources: ExposureSources = realSources()): Promise<string | null> {
  if (!isLoopback(url))
    return "it is not on loopback, so everybody in that network can use it without a key of Postern";
  const port = Number(url.port) || (url.protocol === "https:" ? 443 : 80);
  const tables = await Promise.all(["/proc/net/tcp", "/proc/net/tcp6"].map((path) => sources.readText(path)));
  const isExposed = tables.every((table) => table === null)
    ? (await Promise.all(sources.ownAddresses().map((address) => sources.accepts(address, port)))).includes(true)
    : tables.some((table) => table !== null && listensBeyondLoopback(table, port));
  return isExposed
    ? `it listens on more than loopback, so others in your network can use it without a key of Postern`
    : null;
}

/**
 * Reads a table of the Linux kernel (`/proc/net/tcp`, proc(5)): hexadecimal `address:port`, the address in words of the
 * machine's byte order, state `0A` for listening.
 */
function listensBeyondLoopback(table: string, port: number): boolean {
  return table.split("\n").some((line) => {
    const [, local = "", , state] = line.trim().split(/\s+/);
    const [address = "", hexPort = ""] = local.split(":");
    return state === LISTEN_STATE && Number.parseInt(hexPort, 16) === port && !isLoopbackHex(address);
  });
}

function isLoopbackHex(address: string): boolean {
  const words = address.match(/.{8}/g) ?? [];
  const bytes = Buffer.concat(words.map((word) => toNetworkOrder(Buffer.from(word, "hex"))));
  if (bytes.length === 4) return bytes[0] === 127;
  const isMapped = bytes.subarray(0, 12).equals(Buffer.from("00000000000000000000ffff", "hex"));
  if (isMapped) return bytes[12] === 127;
  return bytes.equals(Buffer.from("00000000000000000000000000000001", "hex"));
}

function toNetworkOrder(word: Buffer): Buffer {
  return endianness() === "LE" ? word.reverse() : word;
}

function realSources(clock: Clock = systemClock): ExposureSources {
  return {
    async readText(path) {
      if (platform() !== "linux") return null;
      try {
        return await readFile(path, "latin1");
      } catch {
        return null;
      }
    },
    ownAddresses() {
      return Object.values(networkInterfaces())
        .flatMap((addresses) => addresses ?? [])
        .filter((address) => !address.internal && !address.address.startsWith("fe80"))
        .map((address) => address.address)
        .slice(0, MAX_ADDRESSES);
    },
    accepts(host, port) {
      return new Promise((resolve) => {
        const socket = connect({ host, port });
        const finish = (isAccepted: boolean) => {
          timer.cancel();
          socket.destroy();
          resolve(isAccepted);
        };
        const timer = clock.after(CONNECT_TIMEOUT_MS, () => finish(false));
        socket.once("connect", () => finish(true));
        socket.once("error", () => finish(false));
      });
    },
  };
}
