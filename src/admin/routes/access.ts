import { addressTest, changedRule, createRuleInput, ruleList, testAddressInput } from "../places-contract.ts";
import { route } from "./route.ts";

/** `/access`: rules about addresses, and what they decide. */
export const accessRoutes = [
  route({
    method: "GET",
    path: "/access/rules",
    resource: "access",
    role: "viewer",
    summary: "All rules about addresses, those of the file too.",
    answer: ruleList,
    handle: async (context) => ({ rules: await context.listRules() }),
  }),
  route({
    method: "POST",
    path: "/access/rules",
    resource: "access",
    role: "operator",
    summary: "Makes a rule. It applies at once; what runs against it is ended.",
    body: createRuleInput,
    answer: changedRule,
    status: 201,
    handle: (context, { body }) => context.createRule(body),
  }),
  route({
    method: "DELETE",
    path: "/access/rules/{rule}",
    resource: "access",
    role: "operator",
    summary: "Removes a rule. It applies at once; what runs against those that are left is ended.",
    answer: changedRule,
    handle: (context, { params }) => context.removeRule(params.rule),
  }),
  route({
    method: "POST",
    path: "/access/test",
    resource: "access",
    access: "read",
    role: "viewer",
    summary: "What would become of a request from an address, and why.",
    body: testAddressInput,
    answer: addressTest,
    handle: (context, { body }) => context.testAddress(body),
  }),
];
