import { AdminClient } from "../admin/client.ts";
import { adminSocketPath } from "../admin/socket-path.ts";
import { injectTransport, remoteTransport, socketTransport } from "../admin/transport.ts";
import { isLoopback } from "../config/listen-address.ts";
import { findDataFolder, loadConfig } from "../config/load.ts";
import type { ResolvedConfig } from "../config/resolved.ts";
import { PosternError } from "../errors.ts";
import { Secret } from "../lib/secret.ts";
import { type CommonOptions, usageError } from "./invocation.ts";

/**
 * Runs `work` with the admin contract of whoever owns the store: a remote gateway (`POSTERN_URL` and
 * `POSTERN_ADMIN_TOKEN`), the gateway that runs on the data folder, or, when none does, the store itself under its lock.
 */
export async function withAdmin<Result>(
  options: CommonOptions,
  work: (admin: AdminClient) => Promise<Result>,
): Promise<Result> {
  const admin = await openAdmin(options);
  try {
    return await work(admin);
  } finally {
    await admin.close();
  }
}

async function openAdmin(options: CommonOptions): Promise<AdminClient> {
  const { POSTERN_URL: url, POSTERN_ADMIN_TOKEN: token } = process.env;
  if (token !== undefined && token !== "") {
    const parsed = url === undefined ? null : URL.parse(url);
    if (parsed === null || !/^https?:$/.test(parsed.protocol)) {
      throw usageError(
        "POSTERN_ADMIN_TOKEN is set, so POSTERN_URL must be the address of the gateway's admin listener, like https://admin.example.org",
      );
    }
    if (parsed.protocol === "http:" && !isLoopback(parsed.hostname.replace(/^\[|\]$/g, ""))) {
      throw usageError(
        `The token would cross the network in clear: POSTERN_URL is ${parsed.origin}`,
        "Use https://, or reach the listener through a tunnel: ssh -L 8401:127.0.0.1:8401 HOST, and http://127.0.0.1:8401.",
      );
    }
    return new AdminClient(remoteTransport(parsed, new Secret(token)));
  }
  // The folder alone: a file with a fault must not stand between an operator and a gateway that runs.
  const running = await connectLocal({ dataFolder: findDataFolder({ flags: options }) });
  return running ?? openOffline(loadConfig({ part: "none", flags: options }));
}

/** The gateway that runs on the data folder, or null when none does. */
export async function connectLocal(config: Pick<ResolvedConfig, "dataFolder">): Promise<AdminClient | null> {
  const client = new AdminClient(socketTransport(adminSocketPath(config.dataFolder)));
  try {
    await client.status();
    return client;
  } catch (error) {
    if (error instanceof PosternError && error.code === "gateway_unreachable") return null;
    throw error;
  }
}

async function openOffline(config: ResolvedConfig): Promise<AdminClient> {
  const { createOfflineAdmin } = await import("./offline-admin.ts");
  return new AdminClient(injectTransport(await createOfflineAdmin(config)));
}
