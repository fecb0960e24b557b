import { readFileSync, type StatWatcher, unwatchFile, watchFile } from "node:fs";
import type { Server } from "node:http";
import type { Server as TlsServer } from "node:https";
import { createSecureContext } from "node:tls";
import type { TlsFiles } from "../config/resolved.ts";
import { PosternError } from "../errors.ts";

/** How often the files are looked at. */
const LOOK_EVERY_MS = 5_000;

/**
 * Reads a certificate chain and its key, and checks that they fit together.
 *
 * @throws PosternError `config_invalid` naming the file.
 */
export function readTlsFiles({ certFile, keyFile }: TlsFiles): { cert: Buffer; key: Buffer } {
  try {
    const pair = { cert: readFileSync(certFile), key: readFileSync(keyFile) };
    createSecureContext(pair);
    return pair;
  } catch (cause) {
    throw new PosternError("config_invalid", {
      message: `Cannot use the certificate ${certFile} with the key ${keyFile}: ${cause instanceof Error ? cause.message : "unreadable"}`,
      hint: "Both must be PEM files, readable for this user, and belong together (gateway.tls).",
      cause,
    });
  }
}

/**
 * Gives new connections of a TLS server the renewed certificate when the files change. Files that do not fit together (a
 * renewal half done) leave the old certificate in place.
 *
 * @returns Stops watching.
 */
export function reloadTlsFiles(
  server: Server,
  files: TlsFiles,
  onReload: (error: PosternError | null) => void,
): () => void {
  const watchers: StatWatcher[] = [];
  function reload(): void {
    try {
      (server as TlsServer).setSecureContext(readTlsFiles(files));
      onReload(null);
    } catch (error) {
      onReload(error as PosternError);
    }
  }
  for (const file of [files.certFile, files.keyFile]) {
    watchers.push(watchFile(file, { interval: LOOK_EVERY_MS, persistent: false }, reload));
  }
  return () => {
    for (const file of [files.certFile, files.keyFile]) unwatchFile(file, reload);
    for (const watcher of watchers) watcher.unref();
  };
}
