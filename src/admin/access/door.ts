import type { IncomingMessage } from "node:http";
import { type Caller, ownerOfFolder } from "../caller.ts";
import type { Refusal } from "../refusal-log.ts";
import { createIdentify, type IdentifyParts } from "./identify.ts";

/** One way in to the admin API: how callers are known there, and who is told of those that are not let in. */
export interface Door {
  /** Who calls. Throws for a credential that is not good. */
  identify(request: IncomingMessage): Caller;
  /** Calls `onEnded` when the caller's credential ends. @returns Stops watching. */
  watch(caller: Caller, onEnded: () => void): () => void;
  /** Whether cookies may, and must, be kept to TLS. */
  isSecure(request: IncomingMessage): boolean;
  /** Told of each call that was refused for who made it. */
  onRefused(refusal: Refusal): void;
}

/** The data folder: whoever gets to it owns it, and file permission has decided already. */
export function ownersDoor(kind: "socket" | "offline"): Door {
  const owner = ownerOfFolder(kind);
  return { identify: () => owner, watch: () => () => {}, isSecure: () => false, onRefused: () => {} };
}

/** The admin listener: tokens and logins. */
export function listenerDoor(parts: IdentifyParts & Pick<Door, "onRefused">): Door {
  const { access, isSecure, onRefused } = parts;
  return {
    identify: createIdentify(parts),
    watch: (caller, onEnded) => access.book.watch(caller, onEnded),
    isSecure,
    onRefused,
  };
}
