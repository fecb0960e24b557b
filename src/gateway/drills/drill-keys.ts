import { randomBytes } from "node:crypto";
import { createKey, hashKey } from "../../access/key-format.ts";
import type { Keyring } from "../../access/keyring.ts";
import { type KeyPolicy, POLICY_VERSION, writePolicy } from "../../access/policy.ts";
import type { DrillPlan } from "../../continuity/drill/plan.ts";
import type { Secret } from "../../lib/secret.ts";

/** A key that a drill asks with in the name of a workflow. */
export interface DrillKey {
  id: string;
  secret: Secret;
  /** SHA-256 of the secret. */
  hash: Uint8Array;
  /** Name of the endpoint that it is used at. */
  endpoint: string;
}

/**
 * Makes a key for every workflow of a plan's prompts, with the policy of the newest working key of that workflow: what it may
 * use and where its requests may go is what the drill is about. Limits, budgets and addresses are left out, because a drill must not
 * eat what callers need.
 *
 * The keys are in memory only, so that a crash leaves none behind, and expire with the drill. `forget` takes them away.
 */
export class DrillKeys {
  readonly #keyring: Keyring;
  readonly #byWorkflow = new Map<string | null, DrillKey>();

  constructor(keyring: Keyring, plan: DrillPlan, id: string, nowMs: number, expiresAtMs: number) {
    this.#keyring = keyring;
    const prompts = plan.traffic.kind === "synthetic" ? plan.traffic.prompts : [];
    for (const workflow of new Set(prompts.map((one) => one.workflow))) {
      const models = [...new Set(prompts.filter((one) => one.workflow === workflow).map(({ model }) => model))];
      const policy = workflow === null ? openPolicy(models) : policyOf(keyring, workflow, nowMs);
      if (policy === null) continue;
      const { id: keyId, hash, key: secret } = createKey(randomBytes);
      keyring.put({
        id: keyId,
        name: `drill-${id}`,
        hash,
        previousHash: null,
        previousUntilMs: null,
        policy: writePolicy({ ...policy, expiresAtMs }),
        createdAtMs: nowMs,
        disabledAtMs: null,
        revokedAtMs: null,
      });
      const endpoint = policy.endpoints?.[0] ?? "default";
      this.#byWorkflow.set(workflow, { id: keyId, secret, hash, endpoint });
    }
  }

  of(workflow: string | null): DrillKey | undefined {
    return this.#byWorkflow.get(workflow);
  }

  /** The one whose secret this is. */
  bySecret(text: string): DrillKey | undefined {
    const hash = Buffer.from(hashKey(text));
    return [...this.#byWorkflow.values()].find((one) => hash.equals(one.hash));
  }

  forget(): void {
    for (const { id } of this.#byWorkflow.values()) this.#keyring.remove(id);
    this.#byWorkflow.clear();
  }
}

/** Whether a working key belongs to the workflow. */
export function hasWorkflow(keyring: Keyring, workflow: string, nowMs: number): boolean {
  return policyOf(keyring, workflow, nowMs) !== null;
}

function policyOf(keyring: Keyring, workflow: string, nowMs: number): KeyPolicy | null {
  const newest = keyring
    .ofWorkflow(workflow)
    .filter((key) => key.refusalAt(nowMs) === null)
    .toSorted((a, b) => b.record.createdAtMs - a.record.createdAtMs)[0];
  if (newest === undefined) return null;
  const { version, endpoints, models, dialects, operations, mayLeave, prefer, fallback, targets } =
    newest.policy.document;
  const kept = { endpoints, models, dialects, operations, mayLeave, prefer, fallback, targets };
  const given = Object.entries(kept).filter(([, value]) => value !== undefined);
  return { version, ...Object.fromEntries(given), workflow };
}

function openPolicy(models: string[]): KeyPolicy {
  return { version: POLICY_VERSION, models };
}
