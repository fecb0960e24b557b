import { type ErrorCode, PosternError } from "../../errors.ts";
import type { AlertStore } from "../alert-store.ts";
import type { AuditDraft } from "../audit-chain.ts";
import type { KeyPage } from "../key-pages.ts";
import type {
  AuditStore,
  DrillStore,
  KeyStore,
  NodeStore,
  PlaceStore,
  SessionStore,
  SettingStore,
  TokenStore,
  UsageStore,
  UserStore,
} from "../store.ts";

/**
 * What the main thread may ask of a worker: one entry per call, with the types of the store's own methods.
 * Arguments and results cross by structured clone, so they are plain data.
 */
export interface StoreCalls {
  "keys.insert": KeyStore["insert"];
  "keys.page": (afterId: string | null) => Promise<KeyPage>;
  "keys.find": KeyStore["find"];
  "keys.update": KeyStore["update"];
  "nodes.list": NodeStore["list"];
  "nodes.insert": NodeStore["insert"];
  "nodes.remove": NodeStore["remove"];
  "nodes.connectors": NodeStore["connectors"];
  "nodes.update": NodeStore["update"];
  "nodes.removeConnector": NodeStore["removeConnector"];
  "nodes.touchConnector": NodeStore["touchConnector"];
  "nodes.insertInvitation": NodeStore["insertInvitation"];
  "nodes.invitations": NodeStore["invitations"];
  "nodes.redeemInvitation": NodeStore["redeemInvitation"];
  "places.endpoints": PlaceStore["endpoints"];
  "places.insertEndpoint": PlaceStore["insertEndpoint"];
  "places.updateEndpoint": PlaceStore["updateEndpoint"];
  "places.removeEndpoint": PlaceStore["removeEndpoint"];
  "places.rules": PlaceStore["rules"];
  "places.insertRule": PlaceStore["insertRule"];
  "places.removeRule": PlaceStore["removeRule"];
  "settings.get": SettingStore["get"];
  "settings.set": SettingStore["set"];
  "tokens.insert": TokenStore["insert"];
  "tokens.list": TokenStore["list"];
  "tokens.revoke": TokenStore["revoke"];
  "users.insert": UserStore["insert"];
  "users.list": UserStore["list"];
  "users.update": UserStore["update"];
  "users.remove": UserStore["remove"];
  "sessions.insert": SessionStore["insert"];
  "sessions.list": SessionStore["list"];
  "sessions.touch": SessionStore["touch"];
  "sessions.remove": SessionStore["remove"];
  "alerts.save": AlertStore["save"];
  "alerts.unresolved": AlertStore["unresolved"];
  "alerts.list": AlertStore["list"];
  "alerts.prune": AlertStore["prune"];
  "alerts.acknowledge": AlertStore["acknowledge"];
  "alerts.silences": AlertStore["silences"];
  "alerts.insertSilence": AlertStore["insertSilence"];
  "alerts.removeSilence": AlertStore["removeSilence"];
  "drills.put": DrillStore["put"];
  "drills.find": DrillStore["find"];
  "drills.list": DrillStore["list"];
  "drills.unfinished": DrillStore["unfinished"];
  "audit.append": AuditStore["append"];
  "audit.prune": AuditStore["prune"];
  "audit.list": AuditStore["list"];
  "audit.verify": AuditStore["verify"];
  /** Makes another call and writes the entry about it, in one transaction. The answer is the other call's. */
  audited: (entry: AuditDraft, name: CallName, args: unknown[]) => Promise<unknown>;
  "usage.ingest": UsageStore["ingest"];
  "usage.report": UsageStore["report"];
  "usage.request": UsageStore["request"];
  "usage.requests": UsageStore["requests"];
  "usage.answered": UsageStore["answered"];
  "usage.perHourOfWeek": UsageStore["perHourOfWeek"];
  "usage.pruneStep": (beforeMs: number, limit: number) => Promise<number>;
  /** Writes something, to find out whether that works. */
  probe: () => Promise<void>;
  /** Null, or what is damaged. */
  findDamage: () => Promise<string | null>;
  /** Copies the store into an empty file that exists. */
  copyInto: (path: string) => Promise<void>;
}

export type CallName = keyof StoreCalls;

/** What a worker is started with. */
export interface WorkerData {
  role: "writer" | "reader";
  path: string;
  busyTimeoutMs: number;
}

export type ToWorker =
  | { kind: "call"; id: number; name: CallName; args: unknown[] }
  /** Close the database and end. */
  | { kind: "stop" };

export type FromWorker =
  | { kind: "ready" }
  | { kind: "failed"; error: ErrorMessage }
  | { kind: "answer"; id: number; value: unknown }
  | { kind: "refusal"; id: number; error: ErrorMessage };

/** A `PosternError` on its way between threads; structured clone would keep neither its class nor its fields. */
export interface ErrorMessage {
  code: ErrorCode;
  message: string;
  hint: string | undefined;
  detail: Record<string, unknown>;
}

/** Packs an error up for the other thread. Its cause stays behind; what matters of it is in `detail`. */
export function packError(error: PosternError): ErrorMessage {
  return { code: error.code, message: error.message, hint: error.hint, detail: error.detail };
}

/** The error again, on this side. */
export function unpackError({ code, message, hint, detail }: ErrorMessage): PosternError {
  return new PosternError(code, { message, detail, ...(hint === undefined ? {} : { hint }) });
}
