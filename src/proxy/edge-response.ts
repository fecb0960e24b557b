import { type OutgoingHttpHeader, type OutgoingHttpHeaders, ServerResponse } from "node:http";

const NONE: readonly string[] = [];

/**
 * The response of the public listeners: adds what the edge has to say on every answer (HSTS, CORS), in one place, whoever
 * answers. Heads are written as arrays everywhere on the public side; others go out as they are.
 */
export class EdgeResponse extends ServerResponse {
  /** Name, value, name, value, … */
  edgeHeaders: readonly string[] = NONE;

  override writeHead(
    status: number,
    first?: string | OutgoingHttpHeaders | OutgoingHttpHeader[],
    second?: OutgoingHttpHeaders | OutgoingHttpHeader[],
  ): this {
    if (typeof first === "string") return super.writeHead(status, first, second);
    if (this.edgeHeaders.length === 0 || !Array.isArray(first)) return super.writeHead(status, first);
    first.push(...this.edgeHeaders);
    return super.writeHead(status, first);
  }
}
