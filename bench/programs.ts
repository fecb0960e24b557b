import { cpSync, existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { bundleProgram } from "../scripts/bundle-program.ts";
import { type Child, run, start } from "./children.ts";

const SOURCES = import.meta.dirname;

/** Where built programs, certificates and installed peers are kept. Not committed. */
export const CACHE = join(SOURCES, ".cache");

/** The C programs of the benchmark, built with the machine's `cc`. */
export interface Programs {
  engine: string;
  client: string;
  /** Whether the client can speak TLS: OpenSSL's headers were there. */
  hasTls: boolean;
}

/** Builds what is older than its source. Needs `cc`; says so when there is none. */
export async function buildPrograms(): Promise<Programs> {
  mkdirSync(CACHE, { recursive: true });
  const engine = join(CACHE, "engine");
  const client = join(CACHE, "client");
  const plainClient = join(CACHE, "client-plain");
  if (isStale(engine, ["engine.c"])) await compile(engine, "engine.c", []);
  const clientSources = ["client.c", "cpu.h", "histogram.h", "response.h", "socket.h"];
  if (!isStale(client, clientSources)) return { engine, client, hasTls: true };
  try {
    await compile(client, "client.c", ["-DWITH_TLS", "-lssl", "-lcrypto"]);
    return { engine, client, hasTls: true };
  } catch {
    if (isStale(plainClient, clientSources)) await compile(plainClient, "client.c", []);
    return { engine, client: plainClient, hasTls: false };
  }
}

function isStale(program: string, sources: readonly string[]): boolean {
  if (!existsSync(program)) return true;
  const builtMs = statSync(program).mtimeMs;
  return sources.some((source) => statSync(join(SOURCES, source)).mtimeMs > builtMs);
}

async function compile(into: string, source: string, flags: readonly string[]): Promise<void> {
  await run(`cc ${source}`, "cc", ["-O2", "-Wall", "-Wextra", "-o", into, join(SOURCES, source), ...flags]);
}

/**
 * Builds Postern as `npm pack` ships it, into the cache: what people install runs without Node's type stripper, which costs memory
 * and start-up time.
 *
 * @returns the launcher to run.
 */
export async function compilePostern(root = join(SOURCES, ".."), name = "postern"): Promise<string> {
  const folder = join(CACHE, name);
  rmSync(folder, { recursive: true, force: true });
  await bundleProgram(root, folder);
  cpSync(join(root, "bin"), join(folder, "bin"), { recursive: true });
  cpSync(join(root, "package.json"), join(folder, "package.json"));
  return join(folder, "bin/postern.js");
}

/** Compiles an earlier commit of this repository, with the packages that are installed now. @returns its launcher. */
export async function compileBefore(commit: string): Promise<string> {
  const sources = join(CACHE, "before-sources");
  rmSync(sources, { recursive: true, force: true });
  mkdirSync(sources, { recursive: true });
  const archive = join(CACHE, "before.tar");
  await run("git archive", "git", ["-C", join(SOURCES, ".."), "archive", "--output", archive, commit]);
  await run("tar", "tar", ["-xf", archive, "-C", sources]);
  return compilePostern(sources, "before");
}

/** A program that says `{"port":N}` in its first line. */
export async function startOnPort(name: string, command: string, args: readonly string[], env = {}) {
  const child: Child = start(name, command, args, { env });
  const said: unknown = JSON.parse(await child.line(10_000));
  if (typeof said !== "object" || said === null || !("port" in said) || typeof said.port !== "number") {
    throw new Error(`${name} said no port`);
  }
  return { child, port: said.port };
}

export interface Certificate {
  /** The authority, to be trusted by whoever dials. */
  ca: string;
  cert: string;
  key: string;
  /** Certificate and key in one file, as HAProxy reads it. */
  both: string;
}

/** A throw-away authority and a certificate for loopback, made by `openssl`. */
export async function makeCertificate(): Promise<Certificate> {
  const folder = join(CACHE, "tls");
  const files = {
    ca: join(folder, "ca.pem"),
    cert: join(folder, "cert.pem"),
    key: join(folder, "key.pem"),
    both: join(folder, "both.pem"),
  };
  if (existsSync(files.both) && Date.now() - statSync(files.both).mtimeMs < 24 * 3_600_000) return files;
  mkdirSync(folder, { recursive: true });
  const script = `set -eu
umask 077
openssl ecparam -genkey -name prime256v1 -noout -out ca-key.pem
openssl req -x509 -new -key ca-key.pem -days 3 -subj "/CN=bench authority" -out ca.pem
openssl ecparam -genkey -name prime256v1 -noout -out key.pem
openssl req -new -key key.pem -subj "/CN=localhost" -out request.pem
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' > extensions
openssl x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile extensions -out cert.pem
cat cert.pem key.pem > both.pem
`;
  await run("openssl", "sh", ["-s"], { cwd: folder, input: script });
  return files;
}
