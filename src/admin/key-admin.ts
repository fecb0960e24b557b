import { randomBytes } from "node:crypto";
import type { KeyRecord } from "../access/key.ts";
import { createKey } from "../access/key-format.ts";
import { PosternError } from "../errors.ts";
import type { AdminContext } from "./context.ts";
import type { KeyView } from "./contract.ts";
import type { CallParts } from "./create-context.ts";

type KeyMethods = Pick<AdminContext, "listKeys" | "showKey" | "createKey" | "revokeKey">;

/** Endpoint that keys belong to until there are others (DESIGN §1). */
const DEFAULT_ENDPOINT = "default";

/** Keys: the store has them, a running gateway is told of each change. */
export function createKeyAdmin({ store, clock, live, changing }: CallParts): KeyMethods {
  return {
    async listKeys() {
      const keys = await store.keys.list();
      return keys.toSorted((a, b) => a.createdAtMs - b.createdAtMs).map((key) => toKeyView(key, clock.nowMs()));
    },
    async showKey(idOrName) {
      return toKeyView(await findKey(idOrName), clock.nowMs());
    },
    async createKey({ name, models, expiresInMs }) {
      const nowMs = clock.nowMs();
      const { id, hash, key: secret } = createKey(randomBytes);
      const key: KeyRecord = {
        id,
        name,
        hash,
        endpointId: DEFAULT_ENDPOINT,
        models,
        createdAtMs: nowMs,
        expiresAtMs: expiresInMs === null ? null : nowMs + expiresInMs,
        revokedAtMs: null,
      };
      const view = toKeyView(key, nowMs);
      await changing({ action: "keys.create", subject: `key ${id}`, before: null, after: view }).keys.insert(key);
      live?.keyCreated(key);
      return { key: view, secret: secret.reveal() };
    },
    async revokeKey(idOrName) {
      const key = await findKey(idOrName);
      if (key.revokedAtMs !== null) return toKeyView(key, clock.nowMs());
      const nowMs = clock.nowMs();
      const revoked = { ...key, revokedAtMs: nowMs };
      const [before, after] = [toKeyView(key, nowMs), toKeyView(revoked, nowMs)];
      await changing({ action: "keys.revoke", subject: `key ${key.id}`, before, after }).keys.revoke(key.id, nowMs);
      live?.keyRevoked(revoked);
      return after;
    },
  };

  async function findKey(idOrName: string): Promise<KeyRecord> {
    const keys = await store.keys.list();
    const byId = keys.find((key) => key.id === idOrName);
    if (byId !== undefined) return byId;
    const named = keys.filter((key) => key.name === idOrName);
    const [first, second] = named;
    if (first === undefined) {
      throw new PosternError("not_found", {
        message: `There is no key with the id or name "${idOrName}"`,
        hint: "`postern keys list` shows them.",
      });
    }
    if (second !== undefined) {
      throw new PosternError("invalid_input", {
        message: `${named.length} keys have the name "${idOrName}"`,
        hint: `Say which by its id: ${named.map((key) => key.id).join(", ")}.`,
      });
    }
    return first;
  }
}

/** A key as it may be shown: everything but its hash. */
function toKeyView(key: KeyRecord, nowMs: number): KeyView {
  return {
    id: key.id,
    name: key.name,
    endpointId: key.endpointId,
    models: key.models,
    createdAtMs: key.createdAtMs,
    expiresAtMs: key.expiresAtMs,
    revokedAtMs: key.revokedAtMs,
    state: keyState(key, nowMs),
  };
}

function keyState(key: KeyRecord, nowMs: number): KeyView["state"] {
  if (key.revokedAtMs !== null) return "revoked";
  return key.expiresAtMs !== null && key.expiresAtMs <= nowMs ? "expired" : "active";
}
