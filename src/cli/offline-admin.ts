import type { FastifyInstance } from "fastify";
import { AdminAccess } from "../admin/access/access.ts";
import { ownersDoor } from "../admin/access/door.ts";
import { createAdmin } from "../admin/create-context.ts";
import { createAdminApp } from "../admin/server.ts";
import { prepareDataFolder } from "../config/data-folder.ts";
import type { ResolvedConfig } from "../config/resolved.ts";
import { loadGatewayIdentity } from "../gateway/identity.ts";
import { systemClock } from "../lib/clock.ts";
import { VERSION } from "../lib/version.ts";
import { CaptureFiles } from "../storage/capture-files.ts";
import { openJournal } from "../storage/journal.ts";
import { openSqliteStore } from "../storage/sqlite/open-store.ts";
import { createInvitation } from "../tunnel/invitation.ts";

/**
 * The admin application over the store alone, for commands that run while no gateway does. Holds the store's lock until it
 * is closed, so that no gateway can start in between.
 *
 * @throws PosternError `store_locked` when a gateway is just starting or stopping, and the other `store_*` codes.
 */
export async function createOfflineAdmin(config: ResolvedConfig): Promise<FastifyInstance> {
  prepareDataFolder(config.dataFolder);
  const store = await openSqliteStore({ folder: config.dataFolder });
  try {
    // What a killed gateway left in its journal belongs into the reports.
    const journal = await openJournal({ folder: config.dataFolder, usage: store.usage });
    await journal.stop();
    const identity = await loadGatewayIdentity(store.settings);
    const access = new AdminAccess();
    await access.book.load(store);
    const contextFor = createAdmin({
      version: VERSION,
      config,
      store,
      captures: new CaptureFiles({ folder: config.dataFolder, totalBytes: Number.POSITIVE_INFINITY }),
      clock: systemClock,
      live: null,
      access,
      mintInvitation: async () => createInvitation(identity.fingerprint),
      settleUsage: async () => {},
    });
    const app = createAdminApp({ contextFor, door: ownersDoor("offline") });
    app.addHook("onClose", () => store.close());
    return app;
  } catch (error) {
    await store.close();
    throw error;
  }
}
