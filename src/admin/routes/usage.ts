import { captureView } from "../contract-captures.ts";
import { requestPage, requestQuery } from "../contract-records.ts";
import { requestView, usageQuery, usageReport } from "../contract-usage.ts";
import { route } from "./route.ts";

/** `/usage` and `/requests/{id}`: what was used, and the whole truth of one request. */
export const usageRoutes = [
  route({
    method: "GET",
    path: "/usage",
    resource: "usage",
    role: "viewer",
    summary: "Requests, tokens and cost, summed up by key, model, node or day.",
    query: usageQuery,
    answer: usageReport,
    handle: (context, { query }) => context.usage(query),
  }),
  route({
    method: "GET",
    path: "/requests",
    resource: "requests",
    role: "viewer",
    summary: "Finished requests, newest first, page by page.",
    query: requestQuery,
    answer: requestPage,
    handle: (context, { query }) => context.listRequests(query),
  }),
  route({
    method: "GET",
    path: "/requests/{id}",
    resource: "requests",
    role: "viewer",
    summary: "The whole truth of one finished request.",
    answer: requestView,
    handle: (context, { params }) => context.request(params.id),
  }),
  route({
    method: "GET",
    path: "/requests/{id}/capture",
    resource: "captures",
    role: "owner",
    summary:
      "What a caller sent and got, where its key's policy says that it is kept. Reading it is in the audit trail.",
    answer: captureView,
    handle: (context, { params }) => context.capture(params.id),
  }),
];
