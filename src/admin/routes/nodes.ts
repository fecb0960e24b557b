import type { FastifyInstance } from "fastify";
import type { AdminContext } from "../context.ts";
import { inviteNodeInput } from "../contract.ts";
import { noQuery, readInput } from "../read-input.ts";

/** `/nodes`: list, invite, show, remove. */
export function addNodeRoutes(app: FastifyInstance, context: AdminContext): void {
  app.get("/nodes", async ({ query }) => {
    readInput(noQuery, query);
    return { nodes: await context.listNodes() };
  });
  app.post("/nodes", async ({ body, query }, reply) => {
    readInput(noQuery, query);
    return reply.code(201).send(await context.inviteNode(readInput(inviteNodeInput, body)));
  });
  app.get<{ Params: { node: string } }>("/nodes/:node", async ({ params, query }) => {
    readInput(noQuery, query);
    return context.showNode(params.node);
  });
  app.delete<{ Params: { node: string } }>("/nodes/:node", async ({ params, query }) => {
    readInput(noQuery, query);
    return context.removeNode(params.node);
  });
}
