import type { SettingStore } from "../storage/store.ts";
import { Identity } from "../tunnel/identity.ts";

/** Name of the setting that holds the gateway's key pair. The store's file is 0600. */
const IDENTITY_SETTING = "gateway.identity";

/**
 * The gateway's identity: made on the first start, shared by all instances through the store.
 *
 * Rejects with `store_*` codes, or `invalid_input` when the stored value is not an identity.
 */
export async function loadGatewayIdentity(settings: SettingStore): Promise<Identity> {
  const stored = await settings.get(IDENTITY_SETTING);
  if (stored !== null) return Identity.parse(stored);
  const identity = Identity.create();
  await settings.set(IDENTITY_SETTING, identity.serialise());
  return identity;
}
