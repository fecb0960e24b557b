import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { Secret } from "../lib/secret.ts";
import { formatPath } from "./check.ts";
import type { ConfigFault } from "./diagnostics.ts";
import type { ConfigPart } from "./load.ts";
import type { ResolvedConfig } from "./resolved.ts";
import type { RawConfig } from "./schema.ts";
import type { YamlSource } from "./yaml-source.ts";

/** Longest secret that is read from a file. */
const MAX_SECRET_BYTES = 64 * 1024;

/** What resolving goes on from. */
export interface Resolving {
  raw: RawConfig;
  source: YamlSource;
  /** Absolute; relative paths in it start from its folder. */
  file: string;
  base: ResolvedConfig;
  part: ConfigPart;
  env: Readonly<Record<string, string | undefined>>;
  /** Filled with what cannot be read; the result is only good when nothing was added. */
  faults: ConfigFault[];
}

/** A file that the configuration names, absolute. Adds a fault where it cannot be read, if it is ours to read. */
export function locateFile(resolving: Resolving, path: PropertyKey[], value: string, isOurs: boolean): string {
  const file = resolve(dirname(resolving.file), value);
  if (!isOurs) return file;
  try {
    accessSync(file, constants.R_OK);
    if (!statSync(file).isFile()) addFault(resolving, path, `names ${file}, which is not a file`);
  } catch (error) {
    addFault(resolving, path, `names ${file}, which ${unreadable(error)}`);
  }
  return file;
}

/** The secret that is referred to. Adds a fault, and gives null, where there is none. */
export function readSecret(resolving: Resolving, path: PropertyKey[], reference: string): Secret | null {
  if (reference.startsWith("env:")) {
    const name = reference.slice("env:".length);
    const value = resolving.env[name];
    if (value !== undefined && value !== "") return new Secret(value);
    return addFault(resolving, path, `names the environment variable ${name}, which is not set`);
  }
  const file = resolve(dirname(resolving.file), reference.slice("file:".length));
  try {
    if (statSync(file).size > MAX_SECRET_BYTES) return addFault(resolving, path, `names ${file}, which is too large`);
    const value = readFileSync(file, "utf8").trim();
    return value === "" ? addFault(resolving, path, `names ${file}, which is empty`) : new Secret(value);
  } catch (error) {
    return addFault(resolving, path, `names ${file}, which ${unreadable(error)}`);
  }
}

function unreadable(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT") return "does not exist";
  return code === "EACCES" ? "this user may not read" : `cannot be read (${code ?? "unknown reason"})`;
}

/** Notes what is wrong, with its line. */
export function addFault(resolving: Resolving, path: PropertyKey[], rule: string): null {
  resolving.faults.push({
    source: resolving.file,
    ...resolving.source.locate(path),
    path: formatPath(path),
    rule,
    seen: null,
  });
  return null;
}

/** Where something is defined, for people: `/etc/postern/postern.yaml:12`. */
export function placeOf(resolving: Resolving, path: string[]): string {
  return `${resolving.file}:${resolving.source.locate(path, true).line}`;
}
