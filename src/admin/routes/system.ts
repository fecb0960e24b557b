import { backupInput, backupResult } from "../contract.ts";
import { health, settings } from "../contract-records.ts";
import { status } from "../contract-status.ts";
import { route } from "./route.ts";

/** `/status`, `/health`, `/settings` and `/backup`. */
export const systemRoutes = [
  route({
    method: "GET",
    path: "/status",
    resource: "system",
    role: "viewer",
    summary: "What runs and whether it is well.",
    answer: status,
    handle: (context) => context.status(),
  }),
  route({
    method: "GET",
    path: "/health",
    resource: "system",
    role: "viewer",
    summary: "Whether requests are served and written down, and why not.",
    answer: health,
    handle: (context) => context.health(),
  }),
  route({
    method: "GET",
    path: "/settings",
    resource: "system",
    role: "viewer",
    summary: "What the configuration comes to, defaults included, without secrets.",
    answer: settings,
    handle: (context) => context.settings(),
  }),
  route({
    method: "POST",
    path: "/backup",
    resource: "system",
    role: "owner",
    summary: "Writes a copy of the store to a new file on the gateway's machine.",
    body: backupInput,
    answer: backupResult,
    status: 201,
    handle: (context, { body }) => context.backup(body.path),
  }),
];
