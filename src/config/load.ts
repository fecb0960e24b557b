import { existsSync, readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { checkConfig } from "./check.ts";
import { defaultConfigFile, defaultDataFolder } from "./data-folder.ts";
import { defaultConfig } from "./defaults.ts";
import { type ConfigFault, configError, showSeen } from "./diagnostics.ts";
import { isLoopback, LISTEN_RULE, parseListen } from "./listen-address.ts";
import { resolveConfig } from "./resolve.ts";
import type { ListenAddress, LogLevel, ResolvedConfig } from "./resolved.ts";
import { MAX_CONFIG_BYTES, readYaml } from "./yaml-source.ts";

/**
 * Whose secrets and files are read. A gateway never opens an agent's, nor the other way round; `check` opens both, and
 * `none` is for commands that only need to know where things are.
 */
export type ConfigPart = "gateway" | "agent" | "check" | "none";

export interface LoadOptions {
  part: ConfigPart;
  /** Flags of the command line; they outrank the environment, which outranks the file. */
  flags?: {
    config?: string | undefined;
    data?: string | undefined;
    listen?: string | undefined;
    adminListen?: string | undefined;
  };
  env?: Readonly<Record<string, string | undefined>>;
  /** Working folder, for relative flags and for finding `postern.yaml`. */
  cwd?: string;
}

const LOG_LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error", "silent"];

/**
 * Reads flags, environment and `postern.yaml` into one resolved configuration. Makes and changes nothing.
 *
 * @throws PosternError `config_invalid` with every fault of every source at once.
 */
export function loadConfig(options: LoadOptions): ResolvedConfig {
  const { env = process.env, cwd = process.cwd(), flags = {} } = options;
  const faults: ConfigFault[] = [];

  const named = pick("--config", flags.config, "POSTERN_CONFIG", env);
  const file = named === null ? findConfigFile(cwd) : resolve(cwd, named.value);
  const dataFolder = findDataFolder({ flags, env, cwd });
  const base = { ...defaultConfig(dataFolder), logLevel: readLogLevel(env, faults) };
  const config = file === null ? base : readFile(file, base, options.part, env, faults);

  const listen = readListen(pick("--listen", flags.listen, "POSTERN_LISTEN", env), faults);
  const adminListen = readListen(pick("--admin-listen", flags.adminListen, "POSTERN_ADMIN_LISTEN", env), faults);
  if (faults.length > 0) throw configError(faults);
  return {
    ...config,
    gateway: {
      ...config.gateway,
      listen: listen ?? config.gateway.listen,
      admin: { ...config.gateway.admin, listen: adminListen ?? config.gateway.admin.listen },
    },
  };
}

/** The data folder, absolute. The file has no say in it, so that it is known whatever is wrong with the file. */
export function findDataFolder(options: Omit<LoadOptions, "part">): string {
  const { env = process.env, cwd = process.cwd(), flags = {} } = options;
  return resolve(cwd, pick("--data", flags.data, "POSTERN_DATA", env)?.value ?? defaultDataFolder());
}

/** The address under which callers reach the gateway: the configured one, or the listener's. Without a trailing slash. */
export function publicUrlOf(config: ResolvedConfig): string {
  if (config.gateway.publicUrl !== null) return config.gateway.publicUrl;
  const { listen, tls } = config.gateway;
  const { host, port } = listen;
  const certified = tls !== null && "domains" in tls.source ? tls.source.domains[0] : undefined;
  if (certified !== undefined) return `https://${certified}${port === 443 ? "" : `:${port}`}`;
  const shown = host.includes(":") ? `[${host}]` : host;
  const scheme = tls === null ? "http" : "https";
  return `${scheme}://${isLoopback(host) || !/^(0\.0\.0\.0|::)$/.test(host) ? shown : "127.0.0.1"}:${port}`;
}

/** The host under which callers reach the gateway, lower case and without port; null where nobody said. */
export function publicHostOf({ gateway }: ResolvedConfig): string | null {
  if (gateway.publicUrl !== null) return new URL(gateway.publicUrl).hostname.toLowerCase();
  return gateway.tls !== null && "domains" in gateway.tls.source ? (gateway.tls.source.domains[0] ?? null) : null;
}

interface Setting {
  source: string;
  value: string;
}

function pick(flag: string, value: string | undefined, name: string, env: LoadOptions["env"]): Setting | null {
  if (value !== undefined) return { source: flag, value };
  const fromEnv = env?.[name];
  return fromEnv === undefined || fromEnv === "" ? null : { source: name, value: fromEnv };
}

function findConfigFile(cwd: string): string | null {
  return [resolve(cwd, "postern.yaml"), defaultConfigFile()].find((path) => existsSync(path)) ?? null;
}

function readListen(setting: Setting | null, faults: ConfigFault[]): ListenAddress | null {
  if (setting === null) return null;
  const address = parseListen(setting.value);
  if (address === null) faults.push(settingFault(setting, `must be ${LISTEN_RULE}`));
  return address;
}

function readLogLevel(env: NonNullable<LoadOptions["env"]>, faults: ConfigFault[]): LogLevel {
  const value = env["POSTERN_LOG"];
  if (value === undefined || value === "") return "info";
  const level = LOG_LEVELS.find((one) => one === value);
  if (level === undefined) {
    faults.push(settingFault({ source: "POSTERN_LOG", value }, `must be one of ${LOG_LEVELS.join(", ")}`));
  }
  return level ?? "info";
}

function settingFault({ source, value }: Setting, rule: string): ConfigFault {
  return { source, line: null, column: null, path: "", rule, seen: showSeen(source, value) };
}

function readFile(
  file: string,
  base: ResolvedConfig,
  part: ConfigPart,
  env: NonNullable<LoadOptions["env"]>,
  faults: ConfigFault[],
): ResolvedConfig {
  const text = readText(file, faults);
  if (text === null) return base;
  const source = readYaml(text, file);
  if ("faults" in source) {
    faults.push(...source.faults);
    return base;
  }
  const checked = checkConfig(source, file);
  if ("faults" in checked) {
    faults.push(...checked.faults);
    return base;
  }
  return resolveConfig({ raw: checked.raw, source, file, base, part, env, faults });
}

function readText(file: string, faults: ConfigFault[]): string | null {
  const refuse = (rule: string): null => {
    faults.push({ source: file, line: null, column: null, path: "", rule, seen: null });
    return null;
  };
  try {
    if (statSync(file).size > MAX_CONFIG_BYTES) return refuse("is larger than 1MiB");
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return refuse("does not exist");
    if (code === "ERR_ENCODING_INVALID_ENCODED_DATA") return refuse("is not UTF-8 text");
    return refuse(`cannot be read (${code ?? "unknown reason"})`);
  }
}
