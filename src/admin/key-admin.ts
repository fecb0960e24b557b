import { randomBytes } from "node:crypto";
import { compilePolicy } from "../access/compiled-policy.ts";
import type { KeyRecord } from "../access/key.ts";
import { createKey } from "../access/key-format.ts";
import { LiveKey } from "../access/live-key.ts";
import { type KeyPolicy, parsePolicy, readPolicy, writePolicy } from "../access/policy.ts";
import { PosternError, toPosternError } from "../errors.ts";
import type { KeyChanges } from "../storage/store.ts";
import { refuseExcess } from "./ceiling.ts";
import type { AdminContext } from "./context.ts";
import type { CreateKeyInput, KeyView } from "./contract-keys.ts";
import type { CallParts } from "./create-context.ts";
import { findKey } from "./find-key.ts";

type KeyMethods = Pick<
  AdminContext,
  "listKeys" | "showKey" | "createKey" | "updateKey" | "rotateKey" | "disableKey" | "enableKey" | "revokeKey"
>;

/** Keys: the store has them, a running gateway is told of each change. */
export function createKeyAdmin({ store, captures, clock, live, config, caller, changing }: CallParts): KeyMethods {
  return {
    async listKeys() {
      return (await store.keys.list()).map(view);
    },
    async showKey(idOrName) {
      return view(await findKey(store, idOrName));
    },
    async createKey(input) {
      const nowMs = clock.nowMs();
      const policy = policyOf(input, nowMs);
      refuseVainCapture(policy, null);
      refuseExcess(policy, caller.ceiling);
      const { id, hash, key: secret } = createKey(randomBytes);
      const key: KeyRecord = {
        id,
        name: input.name,
        hash,
        previousHash: null,
        previousUntilMs: null,
        policy: writePolicy(policy),
        createdAtMs: nowMs,
        disabledAtMs: null,
        revokedAtMs: null,
      };
      const entry = { action: "keys.create", subject: `key ${id}`, before: null, after: auditView(key) };
      await changing(entry).keys.insert(key);
      live?.keyChanged(key);
      return { key: view(key), secret: secret.reveal() };
    },
    async updateKey(idOrName, { name, policy }) {
      const key = await findKey(store, idOrName);
      refuseMightier(key);
      if (policy !== undefined) {
        refuseVainCapture(policy, parsePolicy(key.policy));
        refuseExcess(policy, caller.ceiling);
      }
      const changes = {
        ...(name === undefined ? {} : { name }),
        ...(policy === undefined ? {} : { policy: writePolicy(policy) }),
      };
      return view(await change("keys.update", key, changes));
    },
    async rotateKey(idOrName, { graceMs }) {
      const key = await findKey(store, idOrName);
      refuseMightier(key);
      const { hash, key: secret } = createKey(randomBytes, key.id);
      const hasGrace = graceMs > 0;
      const rotated = await change("keys.rotate", key, {
        hash,
        previousHash: hasGrace ? key.hash : null,
        previousUntilMs: hasGrace ? clock.nowMs() + graceMs : null,
      });
      return { key: view(rotated), secret: secret.reveal() };
    },
    async disableKey(idOrName) {
      const key = await findToClose(idOrName);
      refuseMightier(key);
      return view(key.disabledAtMs === null ? await close("keys.disable", key, { disabledAtMs: clock.nowMs() }) : key);
    },
    async enableKey(idOrName) {
      const key = await findKey(store, idOrName);
      refuseMightier(key);
      return view(key.disabledAtMs === null ? key : await change("keys.enable", key, { disabledAtMs: null }));
    },
    async revokeKey(idOrName) {
      const key = await findToClose(idOrName);
      refuseMightier(key);
      const revoked = key.revokedAtMs === null ? await close("keys.revoke", key, { revokedAtMs: clock.nowMs() }) : key;
      // Each time: the disk may have said no before.
      await captures.forgetKey(key.id);
      return view(revoked);
    },
  };

  function view(key: KeyRecord): KeyView {
    return toKeyView(key, clock.nowMs(), live?.spending(key.id) ?? null);
  }

  /** A key as the audit trail shows it: as everybody sees it, but for what it spent, which no change is about. */
  function auditView(key: KeyRecord): Omit<KeyView, "spending"> {
    const { spending: _spending, ...shown } = toKeyView(key, clock.nowMs(), null);
    return shown;
  }

  async function change(action: string, key: KeyRecord, changes: KeyChanges): Promise<KeyRecord> {
    const after = auditView({ ...key, ...changes });
    const entry = { action, subject: `key ${key.id}`, before: auditView(key), after };
    const changed = await changing(entry).keys.update(key.id, changes);
    if (changed === null) {
      throw new PosternError("invalid_input", {
        message: `The key "${key.name}" (${key.id}) is revoked, and a revoked key cannot be changed`,
        hint: "Make a new one: `postern keys create NAME`.",
      });
    }
    live?.keyChanged(changed);
    return changed;
  }

  /** A key that is to be shut is found even where the store cannot be asked. */
  async function findToClose(idOrName: string): Promise<KeyRecord> {
    try {
      return await findKey(store, idOrName);
    } catch (error) {
      const isStoreTrouble = toPosternError(error).code.startsWith("store_");
      const known = isStoreTrouble ? live?.findKey(idOrName) : null;
      if (known === null || known === undefined) throw error;
      return known;
    }
  }

  /** A change that shuts a key. It holds in the running gateway even where the store does not take it. */
  async function close(action: string, key: KeyRecord, changes: KeyChanges): Promise<KeyRecord> {
    try {
      return await change(action, key, changes);
    } catch (error) {
      const known = toPosternError(error);
      if (live === null || !known.code.startsWith("store_")) throw error;
      live.keyChanged({ ...key, ...changes });
      throw new PosternError(known.code, {
        message: `${known.message}. The key "${key.name}" (${key.id}) opens nothing until this gateway restarts, but that is not written down`,
        hint: "Put the store right, and give the command again.",
        cause: error,
      });
    }
  }

  /** Below a ceiling nobody has a hand on a key that may more: neither its new secret, nor its end. */
  function refuseMightier(key: KeyRecord): void {
    refuseExcess(parsePolicy(key.policy), caller.ceiling, "key.policy");
  }

  /** Nobody should believe that something is kept which is not. A key that had the word before may keep it. */
  function refuseVainCapture({ capture }: KeyPolicy, before: KeyPolicy | null): void {
    if (capture === undefined || before?.capture !== undefined || config.storage.capture !== null) return;
    throw new PosternError("invalid_input", {
      message: 'The policy is not valid: "capture" is not allowed by the configuration',
      hint: "Set `storage.capture` in postern.yaml first; without it nothing is kept of any key.",
    });
  }

  function policyOf({ template, policy, expiresInMs }: CreateKeyInput, nowMs: number): KeyPolicy {
    const { expiresInMs: templateMs, ...words } = template === null ? {} : findTemplate(template);
    const lifeMs = expiresInMs ?? (policy.expiresAtMs === undefined ? templateMs : undefined);
    const merged = { ...words, ...policy, ...(lifeMs === undefined ? {} : { expiresAtMs: nowMs + lifeMs }) };
    const reading = readPolicy(merged);
    if (reading.policy !== null) return reading.policy;
    const told = reading.faults.map(({ path, message }) => `"${path}" ${message}`).join("; ");
    throw new PosternError("invalid_input", {
      message: `The policy is not valid: ${told}`,
      detail: { faults: reading.faults },
    });
  }

  function findTemplate(name: string) {
    const found = config.keyTemplates.get(name);
    if (found !== undefined) return found;
    const names = [...config.keyTemplates.keys()];
    throw new PosternError("not_found", {
      message: `There is no template "${name}" in access.templates of the configuration`,
      hint: names.length === 0 ? "The configuration has none." : `There are: ${names.join(", ")}.`,
    });
  }
}

/** A key as it may be shown: everything but its hashes. */
function toKeyView(key: KeyRecord, nowMs: number, spending: KeyView["spending"]): KeyView {
  const refusal = new LiveKey(key).refusalAt(nowMs);
  const isGraceOver = key.previousUntilMs === null || key.previousUntilMs <= nowMs;
  return {
    id: key.id,
    name: key.name,
    policy: parsePolicy(key.policy) === null ? null : { ...compilePolicy(key.policy).document },
    createdAtMs: key.createdAtMs,
    previousUntilMs: isGraceOver ? null : key.previousUntilMs,
    disabledAtMs: key.disabledAtMs,
    revokedAtMs: key.revokedAtMs,
    state: refusal ?? "active",
    spending,
  };
}
