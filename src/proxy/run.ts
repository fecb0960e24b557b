import type { AddressRule } from "../access/address-rule.ts";
import type { CompiledPolicy } from "../access/compiled-policy.ts";
import type { Endpoint } from "../access/endpoint.ts";
import type { Admission } from "../access/key-limits.ts";
import type { LiveKey } from "../access/live-key.ts";
import { familyOf } from "../dialects/classify.ts";
import type { Family } from "../dialects/error-body.ts";
import type { Operation } from "../dialects/operations.ts";
import { PosternError } from "../errors.ts";
import type { HttpRequest } from "../http1/request.ts";
import type { HttpResponse } from "../http1/response.ts";
import type { Clock } from "../lib/clock.ts";
import type { Placed } from "../lib/live-set.ts";
import type { RequestCapture } from "./captures.ts";
import type { CallerHead } from "./head.ts";
import type { Origin } from "./identify.ts";
import type { Relay } from "./relay.ts";
import { Reservations } from "./reservations.ts";
import type { Policies } from "./resolve-model.ts";

/** One request on its way through the pipeline. */
export interface Run extends Placed {
  readonly id: string;
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  readonly origin: Origin;
  readonly startedMs: number;
  readonly startedAtMs: number;
  readonly reservations: Reservations;
  head: CallerHead | null;
  endpoint: Endpoint | null;
  endpointPolicy: CompiledPolicy | null;
  /** The raw request target, once the endpoint is known without its prefix. */
  target: string;
  operation: Operation | null;
  /** As it is now: it may change while the request runs. */
  key: LiveKey | null;
  /** SHA-256 of the secret that the caller showed. */
  secretHash: Uint8Array | null;
  /** What it holds of its key's limits. */
  admission: Admission | null;
  /** The budget of its key whose soft edge is reached, or that leaves nothing but what is free. */
  softBudget: string | null;
  /** Why it goes only where it costs nothing: its key's money is spent, or reserved by others. */
  unaffordable: PosternError | null;
  /** Public name of the model, once it is resolved. */
  model: string | null;
  /** The rule that put the caller's address in the place of a key. */
  ambient: AddressRule | null;
  /** What is kept of it; null where its key's policy does not say so. */
  capture: RequestCapture | null;
  relay: Relay | null;
  /** An operator approved that it goes to the side that its policy does not prefer. */
  isApproved: boolean;
  /** Its caller was told to go on with the body. */
  isAwaited: boolean;
  /** Key or address were accepted and are no longer. */
  ended: "revoked" | "address_denied" | null;
}

/** A request of which nothing is known yet. */
export function beginRun(id: string, request: HttpRequest, response: HttpResponse, origin: Origin, clock: Clock): Run {
  return {
    id,
    request,
    response,
    origin,
    startedMs: clock.monotonicMs(),
    startedAtMs: clock.nowMs(),
    reservations: new Reservations(),
    head: null,
    endpoint: null,
    endpointPolicy: null,
    target: request.url,
    operation: null,
    key: null,
    secretHash: null,
    admission: null,
    softBudget: null,
    unaffordable: null,
    model: null,
    ambient: null,
    capture: null,
    relay: null,
    isApproved: false,
    isAwaited: false,
    ended: null,
    place: -1,
  };
}

/** Those of the key, which may have changed since the request began, and of the endpoint. */
export function policiesOf({ key, endpointPolicy }: Run): Policies {
  if (key === null || endpointPolicy === null) throw new PosternError("internal");
  return [key.policy, endpointPolicy];
}

/**
 * The dialect that a request is refused in, also where its operation is not known yet. Both families list models at one path:
 * there the caller's version header decides, for the error as for the list.
 */
export function familyOfRun({ operation, target, head }: Run): Family {
  const family = operation?.family ?? familyOf(target);
  const isShared = operation?.kind === "list" || operation?.kind === "item";
  return isShared && family === "openai" && head?.isAnthropic === true ? "anthropic" : family;
}
