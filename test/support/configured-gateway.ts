import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Logger, pino } from "pino";
import { AdminClient } from "../../src/admin/client.ts";
import type { CreateKeyInput } from "../../src/admin/contract-keys.ts";
import { socketTransport } from "../../src/admin/transport.ts";
import { loadConfig } from "../../src/config/load.ts";
import { startGateway } from "../../src/gateway/main.ts";
import { type Clock, systemClock } from "../../src/lib/clock.ts";
import { Closers } from "../../src/lib/closers.ts";

/** A gateway in this process that was started from a `postern.yaml`, with a key. */
export interface ConfiguredGateway {
  origin: string;
  key: string;
  admin: AdminClient;
  /** Of its data and its file. */
  folder: string;
  /** POSTs JSON with the key. */
  ask(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
  /** Ends the gateway; its folder stays until `close`. */
  stop(): Promise<void>;
  close(): Promise<void>;
}

export interface ConfiguredOptions {
  env?: Record<string, string>;
  clock?: Clock;
  log?: Logger;
  key?: Omit<CreateKeyInput, "name">;
  /** Where it was before, to start on the same store again; it is not removed then. */
  folder?: string;
}

/** Reads the text as a user's file would be, secrets and all, and starts. `listen` is set to free ports of loopback. */
export async function startConfigured(yaml: string, options: ConfiguredOptions = {}): Promise<ConfiguredGateway> {
  const closers = new Closers();
  try {
    const folder = options.folder ?? (await mkdtemp(join(tmpdir(), "postern-configured-")));
    if (options.folder === undefined) closers.add(() => rm(folder, { recursive: true, force: true }));
    const file = join(folder, "postern.yaml");
    await writeFile(file, yaml);
    const config = loadConfig({
      part: "gateway",
      flags: { config: file, data: join(folder, "data"), listen: "127.0.0.1:0", adminListen: "127.0.0.1:0" },
      env: options.env ?? {},
      cwd: folder,
    });
    const log = options.log ?? pino({ level: "silent" });
    const gateway = await startGateway(config, { log, clock: options.clock ?? systemClock });
    closers.add(() => gateway.stop());
    const admin = new AdminClient(socketTransport(gateway.socketPath));
    closers.add(() => admin.close());
    const { secret } = await admin.createKey({ name: `test-${Date.now()}`, ...options.key });
    return {
      origin: gateway.publicUrl,
      key: secret,
      admin,
      folder,
      ask: (path, body, headers = {}) =>
        fetch(gateway.publicUrl + path, {
          method: "POST",
          headers: { authorization: `Bearer ${secret}`, "content-type": "application/json", ...headers },
          body: JSON.stringify(body),
        }),
      stop: () => gateway.stop(),
      close: () => closers.close(),
    };
  } catch (error) {
    await closers.close();
    throw error;
  }
}
