/**
 * What a target stands on: a node or a provider, as policy, routing, headers and records see it. Live: all but `kind` and `id`
 * may change under the reader, but not during one plan.
 */
export interface Backend {
  readonly kind: "node" | "provider";
  /** Unique and stable over renames. */
  readonly id: string;
  /** As the operator calls it; unique among its kind. */
  readonly name: string;
  /** `node/NAME` or `provider/NAME`: its form in headers, records, metrics and reports. */
  readonly label: string;
  /** Whose machine it is. Whatever is not `own` counts as leaving (`mayLeave`). */
  readonly locality: "own" | "rented" | "cloud";
  /** The operator's labels, for the `targets` of policies. */
  readonly tags: readonly string[];
}
