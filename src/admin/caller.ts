import type { AuditActor } from "../storage/audit-chain.ts";
import type { Grant } from "./access/role.ts";

/** Who calls the admin API, once that is certain. */
export interface Caller extends Grant {
  /**
   * `socket`: may open the data folder's socket, so it is that user or root. `offline`: a command that holds the store while
   * no gateway runs, which is the same user.
   */
  kind: "socket" | "offline";
  /** For people: the user of the operating system. */
  name: string;
}

/** Whoever may open the data folder owns the gateway: file permission has decided. */
export function ownerOfFolder(kind: "socket" | "offline"): Caller {
  const uid = process.getuid?.();
  return { kind, name: uid === undefined ? "owner" : `uid ${uid}`, role: "owner", scopes: null };
}

/** The caller as the audit trail names them. */
export function actorOf({ kind, name }: Caller): AuditActor {
  return { kind, id: null, name, address: null };
}
