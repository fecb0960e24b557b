import { readFileSync, unwatchFile, watchFile } from "node:fs";
import type { Server } from "node:http";
import type { Server as TlsServer } from "node:https";
import { createSecureContext } from "node:tls";
import type { TlsFiles } from "../config/resolved.ts";
import { PosternError, toPosternError } from "../errors.ts";

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
 * @param lookEveryMs How often the files are looked at.
 * @returns Stops watching.
 */
export function reloadTlsFiles(
  server: Server,
  files: TlsFiles,
  onReload: (error: PosternError | null) => void,
  lookEveryMs = LOOK_EVERY_MS,
): () => void {
  function reload(): void {
    try {
      (server as TlsServer).setSecureContext(readTlsFiles(files));
      onReload(null);
    } catch (error) {
      onReload(toPosternError(error));
    }
  }
  const watched = [files.certFile, files.keyFile];
  for (const file of watched) watchFile(file, { interval: lookEveryMs, persistent: false }, reload);
  return () => {
    for (const file of watched) unwatchFile(file, reload);
  };
}
