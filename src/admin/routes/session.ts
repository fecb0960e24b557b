import { changePasswordInput, done, logInInput, me, setUpInput } from "../contract-access.ts";
import { route } from "./route.ts";

/** `/session`, `/password` and `/setup`: the caller's own login. The only routes that somebody unknown may call are here. */
export const sessionRoutes = [
  route({
    method: "GET",
    path: "/session",
    resource: "self",
    role: "viewer",
    summary: "Who the caller is, and for a login the token that changes need.",
    answer: me,
    handle: (context) => context.me(),
  }),
  route({
    method: "POST",
    path: "/session",
    resource: "self",
    role: "anyone",
    summary: "Logs in with a password; the answer sets the cookie.",
    body: logInInput,
    answer: me,
    status: 201,
    async handle(context, { body, setCookie }) {
      const { cookie, lifeMs, me } = await context.logIn(body);
      setCookie(cookie, lifeMs);
      return me;
    },
  }),
  route({
    method: "DELETE",
    path: "/session",
    resource: "self",
    role: "viewer",
    summary: "Logs out.",
    answer: done,
    async handle(context, { setCookie }) {
      await context.logOut();
      setCookie(null, 0);
      return { ok: true as const };
    },
  }),
  route({
    method: "POST",
    path: "/password",
    resource: "self",
    role: "viewer",
    summary: "Changes the caller's own password, and ends all the caller's logins.",
    body: changePasswordInput,
    answer: done,
    async handle(context, { body, setCookie }) {
      await context.changePassword(body);
      setCookie(null, 0);
      return { ok: true as const };
    },
  }),
  route({
    method: "POST",
    path: "/setup",
    resource: "self",
    role: "anyone",
    summary:
      "Makes the first user, an owner, with the code of the setup link, and logs in. Only while there is no user.",
    body: setUpInput,
    answer: me,
    status: 201,
    async handle(context, { body, setCookie }) {
      const { cookie, lifeMs, me } = await context.setUp(body);
      setCookie(cookie, lifeMs);
      return me;
    },
  }),
];
