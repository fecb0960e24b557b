import { contingencyOff, contingencyOffInput, contingencyOnInput, contingencyView } from "../contract-continuity.ts";
import { route } from "./route.ts";

/** `/contingency`: whether providers are skipped. */
export const continuityRoutes = [
  route({
    method: "GET",
    path: "/contingency",
    resource: "continuity",
    role: "viewer",
    summary: "Scopes in which providers are skipped, or come back. All others are normal.",
    answer: contingencyView,
    handle: (context) => context.contingency(),
  }),
  route({
    method: "POST",
    path: "/contingency",
    resource: "continuity",
    role: "operator",
    summary: "Skips providers from now on, for everything or one workflow.",
    body: contingencyOnInput,
    answer: contingencyView,
    handle: (context, { body }) => context.contingencyOn(body),
  }),
  route({
    method: "POST",
    path: "/contingency/off",
    resource: "continuity",
    role: "operator",
    summary: "Ends it; requests return to providers in a growing share.",
    body: contingencyOffInput,
    answer: contingencyOff,
    handle: (context, { body }) => context.contingencyOff(body),
  }),
];
