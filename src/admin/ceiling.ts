import type { KeyPolicy } from "../access/policy.ts";
import { policyExcess } from "../access/policy-subset.ts";
import { PosternError } from "../errors.ts";

/**
 * A granted policy is always a subset of its creator's.
 *
 * @param granted Null: no policy at all, which allows everything.
 * @param ceiling Null: the creator has none.
 * @param path Where the policy stands in the call, before the paths of its faults.
 * @throws PosternError `forbidden` with every fault and its path.
 */
export function refuseExcess(granted: KeyPolicy | null, ceiling: KeyPolicy | null, path = "policy"): void {
  if (ceiling === null) return;
  const faults =
    granted === null
      ? [{ path, message: "is missing, and its creator has one" }]
      : policyExcess(granted, ceiling).map((fault) => ({ path: `${path}.${fault.path}`, message: fault.message }));
  if (faults.length === 0) return;
  throw new PosternError("forbidden", {
    message: `The policy is more than its creator may give: ${faults.map((one) => `"${one.path}" ${one.message}`).join("; ")}`,
    hint: "GET /admin/v1/session shows your own ceiling.",
    detail: { faults },
  });
}
