import { accessRoutes } from "./access.ts";
import { endpointRoutes } from "./endpoints.ts";
import { keyRoutes } from "./keys.ts";
import { modelRoutes } from "./models.ts";
import { nodeRoutes } from "./nodes.ts";
import type { Route } from "./route.ts";
import { systemRoutes } from "./system.ts";
import { usageRoutes } from "./usage.ts";

/**
 * Every route of `/admin/v1`. What is not here does not exist: the server, the access check, the OpenAPI document and the
 * tests that try every door read this one table.
 *
 * A new resource is a file beside this one that exports its routes, a line here, and a word in `RESOURCES`.
 */
export const ROUTES: readonly Route[] = [
  ...systemRoutes,
  ...keyRoutes,
  ...endpointRoutes,
  ...accessRoutes,
  ...nodeRoutes,
  ...modelRoutes,
  ...usageRoutes,
];
