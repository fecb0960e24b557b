import { joinKeyPages } from "../key-pages.ts";
import type { Changes } from "../store.ts";
import type { CallName, StoreCalls } from "./protocol.ts";

/** Makes one call in the database's thread. */
export type StoreCall = <Name extends CallName>(
  name: Name,
  args: Parameters<StoreCalls[Name]>,
) => Promise<Awaited<ReturnType<StoreCalls[Name]>>>;

/** The parts of the store that people and agents change, each method being one call. */
export function changesOver(call: StoreCall): Changes {
  return {
    keys: {
      insert: (key) => call("keys.insert", [key]),
      list: () => joinKeyPages((afterId) => call("keys.page", [afterId])),
      find: (idOrName) => call("keys.find", [idOrName]),
      update: (id, changes) => call("keys.update", [id, changes]),
    },

    nodes: {
      list: () => call("nodes.list", []),
      insert: (node) => call("nodes.insert", [node]),
      remove: (id) => call("nodes.remove", [id]),
      connectors: () => call("nodes.connectors", []),
      update: (id, changes) => call("nodes.update", [id, changes]),
      removeConnector: (id) => call("nodes.removeConnector", [id]),
      touchConnector: (id, seenAtMs, epoch) => call("nodes.touchConnector", [id, seenAtMs, epoch]),
      insertInvitation: (invitation) => call("nodes.insertInvitation", [invitation]),
      invitations: () => call("nodes.invitations", []),
      redeemInvitation: (id, hash, connector, nowMs) => call("nodes.redeemInvitation", [id, hash, connector, nowMs]),
    },

    places: {
      endpoints: () => call("places.endpoints", []),
      insertEndpoint: (endpoint) => call("places.insertEndpoint", [endpoint]),
      updateEndpoint: (endpoint) => call("places.updateEndpoint", [endpoint]),
      removeEndpoint: (name) => call("places.removeEndpoint", [name]),
      rules: () => call("places.rules", []),
      insertRule: (rule) => call("places.insertRule", [rule]),
      removeRule: (name) => call("places.removeRule", [name]),
    },

    settings: {
      get: (name) => call("settings.get", [name]),
      set: (name, value) => call("settings.set", [name, value]),
    },
    tokens: {
      insert: (token) => call("tokens.insert", [token]),
      list: () => call("tokens.list", []),
      revoke: (ids, atMs) => call("tokens.revoke", [ids, atMs]),
    },
    users: {
      insert: (user) => call("users.insert", [user]),
      list: () => call("users.list", []),
      update: (user) => call("users.update", [user]),
      remove: (id) => call("users.remove", [id]),
    },
    sessions: {
      insert: (session) => call("sessions.insert", [session]),
      list: () => call("sessions.list", []),
      touch: (id, seenAtMs) => call("sessions.touch", [id, seenAtMs]),
      remove: (ids) => call("sessions.remove", [ids]),
    },
    alerts: {
      save: (alerts, deliveries) => call("alerts.save", [alerts, deliveries]),
      unresolved: () => call("alerts.unresolved", []),
      list: (query) => call("alerts.list", [query]),
      prune: (beforeMs, keep) => call("alerts.prune", [beforeMs, keep]),
      acknowledge: (id, ack) => call("alerts.acknowledge", [id, ack]),
      silences: () => call("alerts.silences", []),
      insertSilence: (silence) => call("alerts.insertSilence", [silence]),
      removeSilence: (id) => call("alerts.removeSilence", [id]),
    },
    drills: {
      put: (drill) => call("drills.put", [drill]),
      find: (id) => call("drills.find", [id]),
      list: (plan, limit) => call("drills.list", [plan, limit]),
      unfinished: () => call("drills.unfinished", []),
    },
  };
}
