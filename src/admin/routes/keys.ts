import type { FastifyInstance } from "fastify";
import type { AdminContext } from "../context.ts";
import { createKeyInput } from "../contract.ts";
import { noQuery, readInput } from "../read-input.ts";

/** `/keys`: list, create, show, revoke. */
export function addKeyRoutes(app: FastifyInstance, context: AdminContext): void {
  app.get("/keys", async ({ query }) => {
    readInput(noQuery, query);
    return { keys: await context.listKeys() };
  });
  app.post("/keys", async ({ body, query }, reply) => {
    readInput(noQuery, query);
    return reply.code(201).send(await context.createKey(readInput(createKeyInput, body)));
  });
  app.get<{ Params: { key: string } }>("/keys/:key", async ({ params, query }) => {
    readInput(noQuery, query);
    return context.showKey(params.key);
  });
  app.post<{ Params: { key: string } }>("/keys/:key/revoke", async ({ params, body, query }) => {
    readInput(noQuery, query);
    readInput(noQuery, body);
    return context.revokeKey(params.key);
  });
}
