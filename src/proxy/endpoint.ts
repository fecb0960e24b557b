import type { AddressRules } from "../access/address-rules.ts";
import type { EndpointTable, Place } from "../access/endpoint-table.ts";
import { PosternError } from "../errors.ts";

/**
 * Step 2, first half: which endpoint a request is for, and what is left of its target there.
 *
 * @param host Lower case, without port.
 * @param localAddress Address of our end of the connection.
 * @throws PosternError `bad_host` where the host is not ours, `unknown_operation` where it is and no endpoint has the path.
 */
export function findPlace(
  endpoints: EndpointTable,
  host: string,
  target: string,
  localAddress: string | undefined,
): Place {
  const place = endpoints.find(host, target, localAddress);
  if (place !== null) return place;
  if (endpoints.isOurs(host, localAddress)) throw new PosternError("unknown_operation");
  throw new PosternError("bad_host", {
    hint: "Set gateway.publicUrl to the address that callers use, or make an endpoint for it.",
    detail: { host },
  });
}

/**
 * Step 2, second half: whether the address may use the endpoint. The caller is told which address was seen, which `/.postern/ip`
 * tells everybody; the rule that decided is for the log.
 *
 * @throws PosternError `address_denied`.
 */
export function checkAddress(rules: AddressRules, address: string, endpoint: string, nowMs: number): void {
  const denial = rules.deny(address, endpoint, nowMs);
  if (denial === null) return;
  throw new PosternError("address_denied", {
    message: `The address ${address === "" ? "of this connection" : address} may not use this endpoint`,
    hint: `\`postern access test ${address} --endpoint ${endpoint}\` says why.`,
    detail: { address, endpoint, reason: denial.reason, rule: denial.rule?.name ?? null },
  });
}
