import { auditPage, auditQuery, auditVerdict, readAnchor, verifyQuery } from "../contract-records.ts";
import { route } from "./route.ts";

/** `/audit`: who changed what, and whether the trail is whole. */
export const auditRoutes = [
  route({
    method: "GET",
    path: "/audit",
    resource: "audit",
    role: "operator",
    summary: "The audit trail, newest first, page by page.",
    query: auditQuery,
    answer: auditPage,
    handle: (context, { query }) => context.listAudit(query),
  }),
  route({
    method: "GET",
    path: "/audit/verify",
    resource: "audit",
    role: "operator",
    summary: "Walks the whole trail and names the first entry that is not as it was written.",
    query: verifyQuery,
    answer: auditVerdict,
    handle: (context, { query }) => context.verifyAudit(readAnchor(query.anchor)),
  }),
];
