import type { Exchange, ExchangeHandler, ExchangeRequest } from "../lib/exchange.ts";
import { ENGINE_HEADER } from "../tunnel/constants.ts";
import type { Links } from "../tunnel/links.ts";
import type { Reach } from "./node-target.ts";
import { RefusedExchange } from "./refused-exchange.ts";

/** The way to one engine of a node through whichever of its links is least busy. */
export class LinkReach implements Reach {
  readonly #links: Links;
  readonly #nodeId: string;
  readonly #engine: string;
  readonly #connectorIds: ReadonlySet<string>;

  /** @param connectorIds Those that report the engine as ready; the set is live. */
  constructor(links: Links, nodeId: string, engine: string, connectorIds: ReadonlySet<string>) {
    this.#links = links;
    this.#nodeId = nodeId;
    this.#engine = engine;
    this.#connectorIds = connectorIds;
  }

  canAccept(): boolean {
    return this.#links.pick(this.#nodeId, this.#connectorIds) !== null;
  }

  isAway(): boolean {
    return !this.#links.isConnected(this.#nodeId);
  }

  start(request: ExchangeRequest, handler: ExchangeHandler): Exchange {
    const link = this.#links.pick(this.#nodeId, this.#connectorIds);
    if (link === null) return new RefusedExchange(handler, "no link of the node takes attempts");
    request.headers[ENGINE_HEADER] = this.#engine;
    return link.start(request, handler);
  }
}
