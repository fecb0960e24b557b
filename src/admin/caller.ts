import type { KeyPolicy } from "../access/policy.ts";
import type { AuditActor } from "../storage/audit-chain.ts";
import type { Grant } from "./access/role.ts";

/** Who calls the admin API, once that is certain. */
export interface Caller extends Grant {
  /**
   * `socket`: may open the data folder's socket, so it is that user or root. `offline`: a command that holds the store while
   * no gateway runs, which is the same user. `token` and `user` came over the admin listener. `anonymous` has shown nothing.
   */
  kind: "socket" | "offline" | "token" | "user" | "anonymous";
  /** Public id of the token or user; null for the others. */
  id: string | null;
  /** For people: the token's or user's name, or the user of the operating system. */
  name: string;
  /** Where from; null on this machine's socket. */
  address: string | null;
  /** When the token ends; null where nothing does. Bounds what the caller may create. */
  expiresAtMs: number | null;
  /** What no key that it makes or changes may exceed; null: nothing. */
  ceiling: KeyPolicy | null;
  /** Of a user: the login. */
  session: { id: string; csrfToken: string; expiresAtMs: number } | null;
}

/** Whoever may open the data folder owns the gateway: file permission has decided. */
export function ownerOfFolder(kind: "socket" | "offline"): Caller {
  const uid = process.getuid?.();
  const name = uid === undefined ? "owner" : `uid ${uid}`;
  return {
    kind,
    id: null,
    name,
    address: null,
    role: "owner",
    scopes: null,
    expiresAtMs: null,
    ceiling: null,
    session: null,
  };
}

/** Somebody at this address who has shown nothing: may do nothing that asks for a role. */
export function anonymousAt(address: string): Caller {
  return {
    kind: "anonymous",
    id: null,
    name: "anonymous",
    address,
    role: "viewer",
    scopes: [],
    expiresAtMs: null,
    ceiling: null,
    session: null,
  };
}

/** The caller as the audit trail names them. */
export function actorOf({ kind, id, name, address }: Caller): AuditActor {
  return { kind, id, name, address };
}

/** `token 1a2b3c4d5e6f`, `user …`, `socket uid 0`: the caller in one word, as tokens remember who made them. */
export function labelOf({ kind, id, name }: Pick<Caller, "kind" | "id" | "name">): string {
  return `${kind} ${id ?? name}`;
}
