import { backupInput, backupResult, status } from "../contract.ts";
import { route } from "./route.ts";

/** `/status` and `/backup`. */
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
