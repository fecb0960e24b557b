import { spawn } from "node:child_process";
import { once } from "node:events";

/** What a client is run against. */
export interface TryDoor {
  /** Of the gateway, without `/v1`. */
  origin: string;
  key: string;
  model: string;
  embedModel: string;
}

/** Where a client runs. */
export interface TryPlace {
  /** Empty, the client's HOME. */
  home: string;
  /** The working folder; holds `note.txt`. */
  work: string;
  /** Where it was installed. */
  installed: string;
}

/** A client that is installed and run by `npm run try:clients`. */
export interface TriedClient {
  name: string;
  /** Exact package and version. */
  from: { npm: string } | { pip: readonly string[] };
  /** Page below docs/guide/clients that says so. */
  guide: string;
  /** What it did, in words, as the guide tells it. */
  does: string;
  /** Rejects when the client did not do it. */
  run(door: TryDoor, place: TryPlace): Promise<void>;
}

/** Longest that one run may take. */
const RUN_LIMIT_MS = 120_000;
/** Nothing listens there: whatever a client wants from elsewhere fails at once. */
const NOWHERE = "http://127.0.0.1:9";

/**
 * Runs a program with an empty HOME, nothing of our environment, and every way out of loopback closed.
 *
 * @returns its stdout. Rejects with what it said when it fails or takes too long.
 */
export async function runIsolated(
  program: string,
  args: readonly string[],
  { home, work }: TryPlace,
  environment: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { PATH = "" } = process.env;
  const child = spawn(program, args, {
    cwd: work,
    env: {
      PATH,
      HOME: home,
      NO_COLOR: "1",
      HTTP_PROXY: NOWHERE,
      HTTPS_PROXY: NOWHERE,
      NO_PROXY: "127.0.0.1,localhost",
      http_proxy: NOWHERE,
      https_proxy: NOWHERE,
      no_proxy: "127.0.0.1,localhost",
      ...environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: RUN_LIMIT_MS,
    killSignal: "SIGKILL",
  });
  let out = "";
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
    said += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const [code, signal] = await once(child, "close");
  if (code !== 0) throw new Error(`ended with ${code ?? signal}: ${said.slice(-2000)}`);
  return out;
}

/** Rejects unless the text is there. */
export function expectText(said: string, wanted: string): void {
  if (!said.includes(wanted)) throw new Error(`did not say ${JSON.stringify(wanted)}, but: ${said.slice(-2000)}`);
}
