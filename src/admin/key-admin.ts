import { randomBytes } from "node:crypto";
import type { KeyRecord } from "../access/key.ts";
import { createKey } from "../access/key-format.ts";
import type { AdminContext } from "./context.ts";
import type { KeyView } from "./contract.ts";
import type { CallParts } from "./create-context.ts";
import { findKey } from "./find-key.ts";

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
      return toKeyView(await findKey(store, idOrName), clock.nowMs());
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
      const key = await findKey(store, idOrName);
      if (key.revokedAtMs !== null) return toKeyView(key, clock.nowMs());
      const nowMs = clock.nowMs();
      const revoked = { ...key, revokedAtMs: nowMs };
      const [before, after] = [toKeyView(key, nowMs), toKeyView(revoked, nowMs)];
      await changing({ action: "keys.revoke", subject: `key ${key.id}`, before, after }).keys.revoke(key.id, nowMs);
      live?.keyRevoked(revoked);
      return after;
    },
  };
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
