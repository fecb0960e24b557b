import {
  createEndpointInput,
  endpointList,
  endpointView,
  removedEndpoint,
  updateEndpointInput,
} from "../places-contract.ts";
import { route } from "./route.ts";

/** `/endpoints`: list, create, show, update, remove. */
export const endpointRoutes = [
  route({
    method: "GET",
    path: "/endpoints",
    resource: "endpoints",
    role: "viewer",
    summary: "All endpoints, those of the file too.",
    answer: endpointList,
    handle: async (context) => ({ endpoints: await context.listEndpoints() }),
  }),
  route({
    method: "POST",
    path: "/endpoints",
    resource: "endpoints",
    role: "operator",
    summary: "Makes an endpoint. It answers at once.",
    body: createEndpointInput,
    answer: endpointView,
    status: 201,
    handle: (context, { body }) => context.createEndpoint(body),
  }),
  route({
    method: "GET",
    path: "/endpoints/{endpoint}",
    resource: "endpoints",
    role: "viewer",
    summary: "One endpoint.",
    answer: endpointView,
    handle: (context, { params }) => context.showEndpoint(params.endpoint),
  }),
  route({
    method: "PATCH",
    path: "/endpoints/{endpoint}",
    resource: "endpoints",
    role: "operator",
    summary: "Changes an endpoint; what is left out stays.",
    body: updateEndpointInput,
    answer: endpointView,
    handle: (context, { params, body }) => context.updateEndpoint(params.endpoint, body),
  }),
  route({
    method: "DELETE",
    path: "/endpoints/{endpoint}",
    resource: "endpoints",
    role: "operator",
    summary: "Removes an endpoint to which no working key belongs, with the rules about it.",
    answer: removedEndpoint,
    handle: (context, { params }) => context.removeEndpoint(params.endpoint),
  }),
];
