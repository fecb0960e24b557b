import { createdToken, createTokenInput, revokedTokens, tokenList } from "../contract-access.ts";
import { route } from "./route.ts";

/** `/tokens`: of the admin API. */
export const tokenRoutes = [
  route({
    method: "GET",
    path: "/tokens",
    resource: "tokens",
    role: "operator",
    summary: "All tokens of the admin API, revoked and expired ones too, without their secrets.",
    answer: tokenList,
    handle: async (context) => ({ tokens: await context.listTokens() }),
  }),
  route({
    method: "POST",
    path: "/tokens",
    resource: "tokens",
    role: "operator",
    summary: "Makes a token that may no more than its creator. The only answer that ever holds its secret.",
    body: createTokenInput,
    answer: createdToken,
    status: 201,
    handle: (context, { body }) => context.createToken(body),
  }),
  route({
    method: "POST",
    path: "/tokens/{token}/revoke",
    resource: "tokens",
    role: "operator",
    summary: "Ends a token and those that it had made, by id or name, and what they are doing. Idempotent.",
    answer: revokedTokens,
    handle: (context, { params }) => context.revokeToken(params.token),
  }),
];
