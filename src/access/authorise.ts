import type { Operation } from "../dialects/operations.ts";
import { PosternError } from "../errors.ts";
import type { CompiledPolicy } from "./compiled-policy.ts";

/** What is known of a request once its head was read. */
export interface HeadFacts {
  /** Name of the endpoint that it came in on. */
  endpoint: string;
  /** The caller's address. */
  address: string;
  /** SHA-256 of the public key of the certificate that the caller showed, in hex; null where it showed none. */
  certificateHash(): string | null;
  operation: Pick<Operation, "id" | "dialect" | "family">;
  /** Whether it names a node. */
  isPinned: boolean;
}

/**
 * Step 4: what a policy says to a request by its head alone, before a byte of its body is read. The time is not asked here: a
 * key that is not open now was not identified.
 *
 * @throws PosternError `endpoint_denied`, `address_denied` (naming the address that was seen),
 *   `client_certificate_missing`, `operation_denied`, `pin_denied`.
 */
export function authorise(policy: CompiledPolicy, facts: HeadFacts): void {
  const { endpoint, address, operation, isPinned } = facts;
  if (!policy.mayUseEndpoint(endpoint)) throw new PosternError("endpoint_denied", { detail: { endpoint } });
  if (!policy.mayComeFrom(address)) {
    throw new PosternError("address_denied", {
      message: `This key may not be used from the address ${address}`,
      hint: "`postern keys show KEY` lists the addresses from which it may.",
      detail: { address, rule: "key" },
    });
  }
  if (!policy.mayShow(facts.certificateHash)) {
    const seen = facts.certificateHash();
    throw new PosternError("client_certificate_missing", {
      message: "This key may only be used together with its client certificate",
      detail: { rule: "key", reason: seen === null ? "none was shown" : `its public key is ${seen}` },
    });
  }
  if (!policy.mayCall(operation)) throw new PosternError("operation_denied");
  if (isPinned && !policy.mayPin) throw new PosternError("pin_denied");
}
