import type { AddressRule } from "./address-rule.ts";
import { AddressRules } from "./address-rules.ts";
import { AmbientKeys } from "./ambient.ts";
import type { Endpoint } from "./endpoint.ts";
import { EndpointTable } from "./endpoint-table.ts";
import type { Keyring } from "./keyring.ts";

/** Where requests may go and from where: endpoints, the rules about addresses, and whom addresses stand for. */
export class Places {
  readonly endpoints: EndpointTable;
  readonly rules = new AddressRules();
  readonly ambient: AmbientKeys;

  /** @param publicHost Host of `gateway.publicUrl`, lower case, or null. */
  constructor(publicHost: string | null, keyring: Keyring) {
    this.endpoints = new EndpointTable(publicHost);
    this.ambient = new AmbientKeys(this.rules, keyring);
  }

  /** Takes over what there is now. Requests that run are not looked at. */
  replaceAll(endpoints: readonly Endpoint[], rules: readonly AddressRule[], nowMs: number): void {
    this.endpoints.replaceAll(endpoints);
    this.rules.replaceAll(rules, nowMs);
  }

  /** The same in pieces, for many rules: what there was before holds until all of it is there. */
  async replaceInTurns(
    endpoints: readonly Endpoint[],
    rules: readonly AddressRule[],
    nowMs: number,
    pause: () => Promise<void>,
  ): Promise<void> {
    const adopt = await this.rules.prepare(rules, nowMs, pause);
    this.endpoints.replaceAll(endpoints);
    adopt();
  }
}
