import type { FastifyInstance } from "fastify";
import type { AdminContext } from "../context.ts";
import { usageQuery } from "../contract.ts";
import { noQuery, readInput } from "../read-input.ts";

/** `/usage` and `/requests/{id}`: what was used, and the whole truth of one request. */
export function addUsageRoutes(app: FastifyInstance, context: AdminContext): void {
  app.get("/usage", async ({ query }) => context.usage(readInput(usageQuery, query)));
  app.get<{ Params: { id: string } }>("/requests/:id", async ({ params, query }) => {
    readInput(noQuery, query);
    return context.request(params.id);
  });
}
