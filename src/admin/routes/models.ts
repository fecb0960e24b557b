import { modelList, modelView, probeInput, probeResult, rollBackInput, weightInput } from "../contract-models.ts";
import { route } from "./route.ts";

/** `/models`: the catalogue, one smallest request to one of them, and weights. */
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
  route({
    method: "POST",
    path: "/models/weights",
    resource: "models",
    role: "operator",
    summary:
      "Gives a target of a model its share of the requests. It counts from the next request on, and over restarts.",
    body: weightInput,
    answer: modelView,
    handle: (context, { body }) => context.setWeight(body),
  }),
  route({
    method: "POST",
    path: "/models/weights/rollback",
    resource: "models",
    role: "operator",
    summary: "Gives a model the weights of before the last change.",
    body: rollBackInput,
    answer: modelView,
    handle: (context, { body }) => context.rollBackWeights(body),
  }),
];
