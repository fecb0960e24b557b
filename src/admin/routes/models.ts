import { modelList, probeInput, probeResult } from "../contract.ts";
import { route } from "./route.ts";

/** `/models`: the catalogue, and one smallest request to one of them. */
export const modelRoutes = [
  route({
    method: "GET",
    path: "/models",
    resource: "models",
    role: "viewer",
    summary: "The catalogue: every public name with its targets.",
    answer: modelList,
    handle: async (context) => ({ models: await context.listModels() }),
  }),
  route({
    method: "POST",
    path: "/models/probe",
    resource: "models",
    access: "read",
    role: "operator",
    summary: "Sends one smallest request to a model, on the way that a caller's request takes.",
    body: probeInput,
    answer: probeResult,
    handle: (context, { body, signal }) => context.probeModel(body, signal),
  }),
];
