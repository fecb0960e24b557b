import type { AddressRule } from "../access/address-rule.ts";
import type { Endpoint } from "../access/endpoint.ts";
import type { KeyRecord } from "../access/key.ts";
import { LiveKey } from "../access/live-key.ts";
import type { EndpointView } from "./places-contract.ts";

/** Most names that a sentence lists. */
const MAX_NAMES = 5;

/**
 * What an endpoint exposes, in sentences made from what is set: who can reach it, what somebody gets who has broken into one of its
 * consumers, and what happens when an address moves on to somebody else.
 *
 * @param rules Those that are about it and have not expired, those about all endpoints among them.
 * @param keys Those that open something there now.
 */
export function describeExposure(
  endpoint: Endpoint,
  rules: readonly AddressRule[],
  isClosed: boolean,
  keys: readonly KeyRecord[],
): EndpointView["exposure"] {
  const only = (effect: AddressRule["effect"]) => rules.filter((rule) => rule.effect === effect);
  const [allow, ambient] = [only("allow"), only("ambient")];
  return {
    reach: [
      isClosed
        ? `Addresses of ${allow.length} allow rules${named(allow)} and no others`
        : "Every address that reaches the listener",
      `, with one of ${keys.length} keys`,
      ambient.length === 0 ? "." : `; ${ambient.length} ranges${named(ambient)} need none: each stands for a key.`,
    ].join(""),
    brokenConsumer: brokenConsumer(endpoint, isClosed, keys),
    rotation: rotation(allow, ambient),
  };
}

function brokenConsumer(endpoint: Endpoint, isClosed: boolean, keys: readonly KeyRecord[]): string {
  const policies = keys.map((key) => new LiveKey(key).policy.document);
  const bound = policies.filter(({ addresses }) => addresses !== undefined).length;
  const pinned = policies.filter(({ clientCertificates }) => clientCertificates !== undefined).length;
  const ending = policies.filter(({ expiresAtMs }) => expiresAtMs !== undefined).length;
  const { models, mayLeave } = endpoint;
  return [
    `Its key, and with it what that key allows, here ${models === null ? "any model" : `the models ${models.join(", ") || "of no name"}`}, `,
    mayLeave === "no" ? "never beyond your own machines" : "providers too where the key allows it",
    isClosed ? "; from a listed address only" : "; from any address",
    `. Of ${keys.length} keys ${bound} are bound to addresses, ${pinned} to a client certificate, and ${ending} expire. `,
    "Nothing of other keys, of management of engines or of administration; it ends when the key is revoked.",
  ].join("");
}

function rotation(allow: readonly AddressRule[], ambient: readonly AddressRule[]): string {
  const moving = allow.filter(({ mayRotate }) => mayRotate);
  const sentences: string[] = [];
  if (moving.length > 0) {
    sentences.push(
      `${moving.length} of the allowed addresses may change${named(moving)}: their consumer then gets 403 with its new address until the rule follows, and whoever has the old one still needs a key.`,
    );
  }
  if (ambient.length > 0) {
    sentences.push(`Whoever gets an address of an ambient range${named(ambient)} is that key, without knowing it.`);
  }
  if (sentences.length > 0) return sentences.join(" ");
  return allow.length > 0
    ? "No allowed address is marked as one that may change; if one does, its consumer gets 403 with the new address."
    : "Nothing: no address counts here.";
}

function named(rules: readonly AddressRule[]): string {
  if (rules.length === 0) return "";
  const names = rules.slice(0, MAX_NAMES).map(({ name }) => name);
  return ` (${names.join(", ")}${rules.length > MAX_NAMES ? ", …" : ""})`;
}
