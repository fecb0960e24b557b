import type { LiveKey } from "../access/live-key.ts";
import type { Places } from "../access/places.ts";
import { policiesOf, type Run } from "./run.ts";
import type { Target } from "./target.ts";

// What runs is asked again, whenever something has changed, what a new request would be asked. Each answers why it must end, or
// null. A change of policy must hold for the attempts that are still to come, too: a plan was made before it.

/** By the clock: key and secret are good until a moment. A few comparisons, for every stream several times a second. */
export function endByTime({ key, secretHash }: Run, nowMs: number): "revoked" | null {
  if (key === null) return null;
  if (key.refusalAt(nowMs) !== null) return "revoked";
  // Without a secret an address stood for the key; whether it still does is asked where its rules are.
  if (secretHash === null || key.record.previousHash === null) return null;
  return key.isSecret(secretHash, nowMs) ? null : "revoked";
}

/** After the key has changed. @param authorise Throws where the key's policy does not allow the request by its head. */
export function endByKey(run: Run, key: LiveKey, nowMs: number, authorise: () => void): "revoked" | null {
  if (key.refusalAt(nowMs) !== null) return "revoked";
  if (run.secretHash !== null && !key.isSecret(run.secretHash, nowMs)) return "revoked";
  if (run.model !== null && !key.policy.mayUseModel(run.model)) return "revoked";
  try {
    authorise();
  } catch {
    return "revoked";
  }
  return endByTargets(run);
}

/** After endpoints or rules about addresses have changed, or a rule has expired. */
export function endByPlace(run: Run, { rules, ambient, endpoints }: Places, nowMs: number): Run["ended"] {
  const { endpoint, origin, key, request, head, model } = run;
  if (endpoint === null || head === null) return null;
  if (rules.deny(origin.address, endpoint.name, nowMs) !== null) return "address_denied";
  if (run.ambient !== null) {
    const rule = rules.ambient(origin.address, endpoint.name, nowMs);
    if (rule === null || ambient.keyOf(rule, nowMs).key?.id !== key?.id) return "revoked";
  }
  const place = endpoints.find(head.host, request.url ?? "", request.socket.localAddress);
  if (place?.endpoint.name !== endpoint.name) return "revoked";
  run.endpoint = place.endpoint;
  run.endpointPolicy = place.policy;
  if (model !== null && !place.policy.mayUseModel(model)) return "revoked";
  return endByTargets(run);
}

/** The target that answers is one that the policies of now allow, and no other is asked from now on. */
function endByTargets(run: Run): "revoked" | null {
  const { relay, head } = run;
  if (relay === null) return null;
  const policies = policiesOf(run);
  const mayLeave = head?.isLocalOnly !== true && policies.every((policy) => policy.mayLeave);
  function mayReach(target: Target): boolean {
    if (target.leaves && !mayLeave) return false;
    return policies.every((policy) => policy.mayReach(target) && (run.isApproved || !policy.needsApproval(target)));
  }
  return relay.keepTo(mayReach) ? null : "revoked";
}
