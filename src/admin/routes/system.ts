import type { FastifyInstance } from "fastify";
import type { AdminContext } from "../context.ts";
import { backupInput } from "../contract.ts";
import { noQuery, readInput } from "../read-input.ts";

/** `/status` and `/backup`. */
export function addSystemRoutes(app: FastifyInstance, context: AdminContext): void {
  app.get("/status", async ({ query }) => {
    readInput(noQuery, query);
    return context.status();
  });
  app.post("/backup", async ({ body, query }, reply) => {
    readInput(noQuery, query);
    return reply.code(201).send(await context.backup(readInput(backupInput, body).path));
  });
}
