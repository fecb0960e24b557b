import { accessSync, chmodSync, constants, mkdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { PosternError } from "../errors.ts";

interface Place {
  env: Readonly<Record<string, string | undefined>>;
  platform: NodeJS.Platform;
  home: string;
}

const HERE: Place = { env: process.env, platform: process.platform, home: homedir() };

/** Root of the checkout when the program runs from source; null when it is installed. */
export function checkoutFolder(moduleUrl: string = import.meta.url): string | null {
  return moduleUrl.endsWith("/src/config/data-folder.ts") ? fileURLToPath(new URL("../..", moduleUrl)) : null;
}

/** Where data is kept when nothing else is said: `./data` in a checkout, otherwise the platform's folder for such things. */
export function defaultDataFolder(checkout: string | null = checkoutFolder(), place: Place = HERE): string {
  if (checkout !== null) return join(checkout, "data");
  if (place.platform === "darwin") return join(place.home, "Library", "Application Support", "postern");
  if (place.platform === "win32") {
    return join(place.env["LOCALAPPDATA"] ?? join(place.home, "AppData", "Local"), "postern");
  }
  return join(absolute(place.env["XDG_DATA_HOME"]) ?? join(place.home, ".local", "share"), "postern");
}

/** Where `postern.yaml` is looked for after the working folder, when nothing else is said. */
export function defaultConfigFile(checkout: string | null = checkoutFolder(), place: Place = HERE): string {
  if (checkout !== null) return join(checkout, "postern.yaml");
  if (place.platform === "win32") {
    return join(place.env["APPDATA"] ?? join(place.home, "AppData", "Roaming"), "postern", "postern.yaml");
  }
  return join(absolute(place.env["XDG_CONFIG_HOME"]) ?? join(place.home, ".config"), "postern", "postern.yaml");
}

// The XDG specification says that relative paths are to be ignored.
function absolute(path: string | undefined): string | null {
  return path?.startsWith("/") ? path : null;
}

/**
 * Makes the data folder with mode 0700, or tightens it, and checks that it can be written.
 *
 * @throws PosternError `data_folder` in plain words.
 */
export function prepareDataFolder(folder: string): void {
  const path = resolve(folder);
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    if (!statSync(path).isDirectory()) throw new Error("it is not a folder");
    if (process.platform !== "win32" && (statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o700);
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw new PosternError("data_folder", {
      message: `Cannot use the data folder ${path}: ${reasonOf(cause)}`,
      hint: "Make it writable for this user, or name another one with --data or POSTERN_DATA.",
      cause,
    });
  }
}

function reasonOf(cause: unknown): string {
  switch ((cause as NodeJS.ErrnoException).code) {
    case "EACCES":
    case "EPERM":
      return "this user may not write there";
    case "EROFS":
      return "the file system is read-only";
    case "ENOTDIR":
    case "EEXIST":
      return "a part of the path is a file, not a folder";
    case "ENOSPC":
      return "the disk is full";
    default:
      return cause instanceof Error ? cause.message : String(cause);
  }
}
