import { z } from "zod";
import {
  createUserInput,
  sessionList,
  sessionView,
  setupLink,
  updateUserInput,
  user,
  userList,
} from "../contract-access.ts";
import { route } from "./route.ts";

/** `/users`, `/sessions` and `/setup-link`: people who log in. */
export const userRoutes = [
  route({
    method: "GET",
    path: "/users",
    resource: "users",
    role: "owner",
    summary: "All users, without their password hashes.",
    answer: userList,
    handle: async (context) => ({ users: await context.listUsers() }),
  }),
  route({
    method: "POST",
    path: "/users",
    resource: "users",
    role: "owner",
    summary: "Makes a user.",
    body: createUserInput,
    answer: user,
    status: 201,
    handle: (context, { body }) => context.createUser(body),
  }),
  route({
    method: "PATCH",
    path: "/users/{user}",
    resource: "users",
    role: "owner",
    summary: "Sets a user's role or password, and ends the user's logins.",
    body: updateUserInput,
    answer: user,
    handle: (context, { params, body }) => context.updateUser(params.user, body),
  }),
  route({
    method: "DELETE",
    path: "/users/{user}",
    resource: "users",
    role: "owner",
    summary: "Removes a user, and ends the user's logins and tokens.",
    answer: user,
    handle: (context, { params }) => context.removeUser(params.user),
  }),
  route({
    method: "GET",
    path: "/sessions",
    resource: "users",
    role: "owner",
    summary: "Logins that are alive.",
    answer: sessionList,
    handle: async (context) => ({ sessions: await context.listSessions() }),
  }),
  route({
    method: "DELETE",
    path: "/sessions/{session}",
    resource: "users",
    role: "owner",
    summary: "Ends a login at once.",
    answer: sessionView,
    handle: (context, { params }) => context.endSession(params.session),
  }),
  route({
    method: "POST",
    path: "/setup-link",
    resource: "users",
    role: "owner",
    summary: "Makes the link with which the first user is made in a browser. Only while there is no user.",
    body: z.strictObject({
      /** Refuse when one was ever made: what a start does on its own. */
      onlyOnce: z.boolean().default(false),
    }),
    answer: setupLink,
    status: 201,
    handle: (context, { body }) => context.createSetupLink(body),
  }),
];
