import { DEFAULT_ENDPOINT, type Endpoint, findTwin, MAX_ENDPOINTS } from "../access/endpoint.ts";
import { PosternError } from "../errors.ts";
import type { EndpointRecord } from "../storage/store.ts";
import type { AdminContext } from "./context.ts";
import type { CallParts } from "./create-context.ts";
import { type AllPlaces, opensAt, readAllPlaces, refuseFile, toEndpointView } from "./place-view.ts";
import type { EndpointView } from "./places-contract.ts";

type EndpointMethods = Pick<
  AdminContext,
  "listEndpoints" | "showEndpoint" | "createEndpoint" | "updateEndpoint" | "removeEndpoint"
>;

/** Endpoints: the store has those that are not in the file, a running gateway is told of each change. */
export function createEndpointAdmin({ store, config, clock, live, changing }: CallParts): EndpointMethods {
  async function view(name: string): Promise<EndpointView> {
    const all = await readAllPlaces(store, config);
    return toEndpointView(find(all, name), all, await store.keys.list(), clock.nowMs());
  }
  return {
    async listEndpoints() {
      const [all, keys] = await Promise.all([readAllPlaces(store, config), store.keys.list()]);
      return all.endpoints.map((one) => toEndpointView(one, all, keys, clock.nowMs())).toSorted(defaultFirst);
    },
    showEndpoint: view,
    async createEndpoint(input) {
      const all = await readAllPlaces(store, config);
      const known = all.endpoints.find(({ name }) => name === input.name);
      if (known !== undefined) {
        throw new PosternError("already_exists", {
          message: `There is already an endpoint "${input.name}"`,
          hint: `\`postern endpoints update ${input.name}\` changes it.`,
        });
      }
      if (all.endpoints.length >= MAX_ENDPOINTS) {
        throw new PosternError("invalid_input", {
          message: `There are ${MAX_ENDPOINTS} endpoints, which is the limit`,
        });
      }
      checkPlace(input, all);
      const endpoint: EndpointRecord = { ...input, createdAtMs: clock.nowMs() };
      const change = { action: "endpoints.create", subject: `endpoint ${input.name}`, before: null, after: endpoint };
      await changing(change).places.insertEndpoint(endpoint);
      await live?.placesChanged();
      return view(input.name);
    },
    async updateEndpoint(name, input) {
      const all = await readAllPlaces(store, config);
      const before = find(all, name);
      refuseFile("endpoint", before);
      const given = Object.entries(input).filter(([, value]) => value !== undefined);
      const after: EndpointRecord = { ...before, createdAtMs: clock.nowMs(), ...Object.fromEntries(given) };
      checkPlace(after, all);
      const change = { action: "endpoints.update", subject: `endpoint ${name}`, before, after };
      // The built-in `default` is written down when it is changed for the first time.
      const isStored = (await store.places.endpoints()).some((one) => one.name === name);
      if (isStored) await changing(change).places.updateEndpoint(after);
      else await changing(change).places.insertEndpoint(after);
      await live?.placesChanged();
      return view(name);
    },
    async removeEndpoint(name) {
      const all = await readAllPlaces(store, config);
      const before = find(all, name);
      refuseFile("endpoint", before);
      if (name === DEFAULT_ENDPOINT.name) {
        throw new PosternError("invalid_input", {
          message: "The endpoint called default is always there",
          hint: "Deny every address there, if nobody should use it: `postern access deny 0.0.0.0/0 --endpoint default`.",
        });
      }
      const nowMs = clock.nowMs();
      const keys = (await store.keys.list()).filter((key) => opensAt(key, name, nowMs));
      if (keys.length > 0) {
        throw new PosternError("invalid_input", {
          message: `Keys that work belong to the endpoint "${name}" (${keys.length})`,
          hint: `Revoke them first: ${keys
            .slice(0, 5)
            .map(({ id }) => id)
            .join(", ")}.`,
        });
      }
      const rulesRemoved = all.rules.filter((rule) => !("place" in rule) && rule.endpoint === name).length;
      const change = { action: "endpoints.remove", subject: `endpoint ${name}`, before, after: null };
      await changing(change).places.removeEndpoint(name);
      return { name, rulesRemoved, streamsEnded: (await live?.placesChanged()) ?? 0 };
    },
  };
}

function find({ endpoints }: AllPlaces, name: string): AllPlaces["endpoints"][number] {
  const found = endpoints.find((one) => one.name === name);
  if (found !== undefined) return found;
  throw new PosternError("not_found", {
    message: `There is no endpoint "${name}"`,
    hint: "`postern endpoints list` shows them.",
  });
}

function checkPlace(endpoint: Endpoint, { endpoints }: AllPlaces): void {
  if (endpoint.name === DEFAULT_ENDPOINT.name) {
    if (endpoint.host === null && endpoint.path === null) return;
    throw new PosternError("invalid_input", {
      message: "The endpoint called default is at the gateway's own names and has neither host nor path",
      hint: "Make another endpoint for it: `postern endpoints create NAME --host HOST`.",
    });
  }
  const twin = findTwin(endpoint, endpoints);
  if (twin === null) return;
  throw new PosternError("invalid_input", {
    message:
      endpoint.host === null && endpoint.path === null
        ? "An endpoint needs a host or a path"
        : `The endpoint "${twin}" is at the same host and path`,
    hint: "Give it another --host or --path.",
  });
}

function defaultFirst(a: EndpointView, b: EndpointView): number {
  if (a.name === DEFAULT_ENDPOINT.name || b.name === DEFAULT_ENDPOINT.name)
    return a.name === b.name ? 0 : a.name === DEFAULT_ENDPOINT.name ? -1 : 1;
  return a.name < b.name ? -1 : 1;
}
