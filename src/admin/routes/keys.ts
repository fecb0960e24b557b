import { createdKey, createKeyInput, keyList, keyView } from "../contract.ts";
import { route } from "./route.ts";

/** `/keys`: list, create, show, revoke. */
export const keyRoutes = [
  route({
    method: "GET",
    path: "/keys",
    resource: "keys",
    role: "viewer",
    summary: "All keys, revoked and expired ones too, without their secrets.",
    answer: keyList,
    handle: async (context) => ({ keys: await context.listKeys() }),
  }),
  route({
    method: "POST",
    path: "/keys",
    resource: "keys",
    role: "operator",
    summary: "Makes a key. The answer is the only one that ever holds its secret.",
    body: createKeyInput,
    answer: createdKey,
    status: 201,
    handle: (context, { body }) => context.createKey(body),
  }),
  route({
    method: "GET",
    path: "/keys/{key}",
    resource: "keys",
    role: "viewer",
    summary: "One key, by id or by name.",
    answer: keyView,
    handle: (context, { params }) => context.showKey(params.key),
  }),
  route({
    method: "POST",
    path: "/keys/{key}/revoke",
    resource: "keys",
    role: "operator",
    summary: "Ends a key at once, and the streams that it opened. Idempotent.",
    answer: keyView,
    handle: (context, { params }) => context.revokeKey(params.key),
  }),
];
