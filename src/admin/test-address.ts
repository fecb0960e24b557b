import { Keyring } from "../access/keyring.ts";
import { LiveKey } from "../access/live-key.ts";
import { Places } from "../access/places.ts";
import { type ErrorCode, PosternError } from "../errors.ts";
import { canonicalAddress } from "../lib/ip-address.ts";
import type { CallParts } from "./create-context.ts";
import { findKey } from "./find-key.ts";
import { readAllPlaces, toRuleView } from "./place-view.ts";
import type { AddressTest, TestAddressInput } from "./places-contract.ts";

/**
 * What would become of a request from an address, by the very tables that requests meet, and why.
 *
 * Rejects with `not_found` for an endpoint or a key that does not exist.
 */
export async function testAddress(parts: CallParts, input: TestAddressInput): Promise<AddressTest> {
  const { store, config, clock, live } = parts;
  const nowMs = clock.nowMs();
  const all = await readAllPlaces(store, config);
  const address = canonicalAddress(input.address) ?? input.address;
  const { endpoint } = input;
  if (!all.endpoints.some(({ name }) => name === endpoint)) {
    throw new PosternError("not_found", {
      message: `There is no endpoint "${endpoint}"`,
      hint: "`postern endpoints list` shows them.",
    });
  }
  const places = live?.places() ?? (await openOffline(parts, all, nowMs));
  const { denial, allowedBy, isClosed } = places.rules.explain(address, endpoint, nowMs);
  const decided = denial === null ? allowedBy : denial.rule;
  const words: string[] = [];
  let errorCode: ErrorCode | null = denial === null ? null : "address_denied";

  const at = `at the endpoint "${endpoint}"`;
  if (decided !== null)
    words.push(`The rule "${decided.name}" (${decided.effect} ${decided.range}${aside(decided)}) decides.`);
  else if (denial?.reason === "not_listed")
    words.push(`There are allow rules ${at}, and none of them holds ${address}.`);
  else words.push(`No allow rule is about addresses ${at}, and no deny rule holds ${address}.`);
  words.push(
    denial === null ? `The address may come in ${at}.` : `The address gets 403 ${at}, before any key is looked at.`,
  );

  const rule = places.rules.ambient(address, endpoint, nowMs);
  const stand = rule === null ? null : places.ambient.keyOf(rule, nowMs);
  if (stand !== null) {
    words.push(
      stand.key === null
        ? `Without a credential it would be nobody: the rule "${stand.rule.name}" names a key that does not work (${stand.failure}).`
        : `Without a credential it is the key "${stand.key.record.name}" (${stand.key.id}), by the rule "${stand.rule.name}", unless a browser sent it or a proxy stands in between that is not declared or does not say for whom it asks.`,
    );
  }
  if (denial === null && input.key !== null) {
    const key = await findKey(store, input.key);
    const { policy } = new LiveKey(key);
    const isHere = policy.mayUseEndpoint(endpoint);
    if (!isHere) errorCode = "endpoint_denied";
    words.push(
      isHere
        ? `The key "${key.name}" belongs to this endpoint.`
        : `The key "${key.name}" is not for this endpoint and gets 403 here.`,
    );
    if (isHere && !policy.mayComeFrom(address)) {
      errorCode = "address_denied";
      words.push(`The key's own addresses do not hold ${address}: it gets 403 from there.`);
    }
  }
  const shown = all.rules.find(({ name }) => name === decided?.name);
  return {
    address,
    endpoint,
    isAllowed: errorCode === null,
    errorCode,
    rule: shown === undefined ? null : toRuleView(shown, nowMs),
    isClosed,
    ambient: stand === null ? null : { rule: stand.rule.name, key: stand.key?.id ?? null, failure: stand.failure },
    words,
  };
}

async function openOffline(
  { store }: CallParts,
  { endpoints, rules }: Awaited<ReturnType<typeof readAllPlaces>>,
  nowMs: number,
): Promise<Places> {
  const keyring = new Keyring();
  keyring.replaceAll(await store.keys.list());
  const places = new Places(null, keyring);
  places.replaceAll(endpoints, rules, nowMs);
  return places;
}

function aside({ label, purpose }: { label: string | null; purpose: string | null }): string {
  const said = [label, purpose].filter((one) => one !== null);
  return said.length === 0 ? "" : `, ${said.join(", ")}`;
}
