import type { FastifyInstance } from "fastify";
import type { AdminContext } from "../context.ts";
import { probeInput } from "../contract.ts";
import { noQuery, readInput } from "../read-input.ts";

/** `/models`: the catalogue, and one smallest request to one of them. */
export function addModelRoutes(app: FastifyInstance, context: AdminContext): void {
  app.get("/models", async ({ query }) => {
    readInput(noQuery, query);
    return { models: await context.listModels() };
  });
  app.post("/models/probe", async ({ body, query, raw }) => {
    readInput(noQuery, query);
    const input = readInput(probeInput, body);
    const asker = new AbortController();
    const leave = (): void => asker.abort();
    // An asker that leaves must not keep an engine busy. Injected requests have no socket that could close.
    raw.socket?.once("close", leave);
    try {
      return await context.probeModel(input, asker.signal);
    } finally {
      raw.socket?.off("close", leave);
    }
  });
}
