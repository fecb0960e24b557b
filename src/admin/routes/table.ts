import { z } from "zod";
import { VERSION } from "../../lib/version.ts";
import { createOpenApi, type JsonObject } from "../openapi.ts";
import { accessRoutes } from "./access.ts";
import { alertRoutes } from "./alerts.ts";
import { auditRoutes } from "./audit.ts";
import { continuityRoutes } from "./continuity.ts";
import { drillRoutes } from "./drills.ts";
import { endpointRoutes } from "./endpoints.ts";
import { keyRoutes } from "./keys.ts";
import { modelRoutes } from "./models.ts";
import { nodeRoutes } from "./nodes.ts";
import { type Route, route } from "./route.ts";
import { sessionRoutes } from "./session.ts";
import { systemRoutes } from "./system.ts";
import { tokenRoutes } from "./tokens.ts";
import { usageRoutes } from "./usage.ts";
import { userRoutes } from "./users.ts";

const openApiRoute = route({
  method: "GET",
  path: "/openapi.json",
  resource: "self",
  role: "viewer",
  summary: "This document.",
  answer: z.record(z.string(), z.unknown()),
  handle: async () => openApi(),
});

/**
 * Every route of `/admin/v1`. What is not here does not exist: the server, the access check, the OpenAPI document and the
 * tests that try every door read this one table.
 *
 * A new resource is a file beside this one that exports its routes, a line here, and a word in `RESOURCES`.
 */
export const ROUTES: readonly Route[] = [
  openApiRoute,
  ...systemRoutes,
  ...sessionRoutes,
  ...keyRoutes,
  ...endpointRoutes,
  ...accessRoutes,
  ...nodeRoutes,
  ...modelRoutes,
  ...continuityRoutes,
  ...drillRoutes,
  ...usageRoutes,
  ...auditRoutes,
  ...alertRoutes,
  ...tokenRoutes,
  ...userRoutes,
];

let document: JsonObject | undefined;

/** The document of all of them, made on first use. */
export function openApi(): JsonObject {
  document ??= createOpenApi(ROUTES, VERSION);
  return document;
}
