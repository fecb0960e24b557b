import type { z } from "zod";
import { PosternError } from "../../errors.ts";
import type { Secret } from "../../lib/secret.ts";
import type { Access, Resource, Role } from "../access/role.ts";
import type { AdminContext } from "../context.ts";
import { nothing, readInput } from "../read-input.ts";

/** One operation of `/admin/v1`: what it is called, what it takes and gives, and who may call it. */
export interface Route {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Below the prefix, parameters in braces: `/keys/{key}`. */
  path: string;
  resource: Resource;
  access: Access;
  /** Least role that may call it; `anyone`: also who has shown nothing. */
  role: Role | "anyone";
  /** One line for the reference. */
  summary: string;
  query: z.ZodType;
  body: z.ZodType;
  answer: z.ZodType;
  /** Status of the answer. */
  status: 200 | 201;
  handle(context: AdminContext, call: RawCall): Promise<unknown>;
}

/** A call before its input was read. */
export interface RawCall {
  params: unknown;
  query: unknown;
  body: unknown;
  /** Aborts when the asker leaves, or when the credential that it came with ends. */
  signal: AbortSignal;
  /** Sets the session's cookie; null takes it away. */
  setCookie(value: Secret | null, lifeMs: number): void;
}

interface Call<Params extends string, Query, Body> {
  params: Readonly<Record<Params, string>>;
  query: Query;
  body: Body;
  signal: AbortSignal;
  setCookie: RawCall["setCookie"];
}

type ParamsOf<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}`
  ? Name | ParamsOf<Rest>
  : never;

interface RouteDefinition<
  Path extends string,
  Query extends z.ZodType,
  Body extends z.ZodType,
  Answer extends z.ZodType,
> {
  method: Route["method"];
  path: Path;
  resource: Resource;
  role: Route["role"];
  summary: string;
  /** Default: by the method. Say `read` for a POST that changes nothing. */
  access?: Access;
  /** Strict. Left out: none may be given. */
  query?: Query;
  /** Strict. Left out: none may be given. */
  body?: Body;
  answer: Answer;
  status?: Route["status"];
  handle(context: AdminContext, call: Call<ParamsOf<Path>, z.output<Query>, z.output<Body>>): Promise<z.input<Answer>>;
}

/** Defines a route. Its input reaches `handle` only after the schemas have read it; faults are `invalid_input`. */
export function route<
  const Path extends string,
  Answer extends z.ZodType,
  Query extends z.ZodType = typeof nothing,
  Body extends z.ZodType = typeof nothing,
>(definition: RouteDefinition<Path, Query, Body, Answer>): Route {
  const { method, path, resource, role, summary, answer, status = 200 } = definition;
  const query = definition.query ?? nothing;
  const body = definition.body ?? nothing;
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
  return {
    method,
    path,
    resource,
    access: definition.access ?? (method === "GET" ? "read" : "write"),
    role,
    summary,
    query,
    body,
    answer,
    status,
    handle: async (context, call) =>
      definition.handle(context, {
        params: readParams(names, call.params) as Record<ParamsOf<Path>, string>,
        query: readInput(query, call.query) as z.output<Query>,
        body: readInput(body, call.body) as z.output<Body>,
        signal: call.signal,
        setCookie: call.setCookie,
      }),
  };
}

function readParams(names: readonly string[], params: unknown): Record<string, string> {
  const given = new Map(Object.entries(params ?? {}));
  return Object.fromEntries(
    names.map((name) => {
      const value: unknown = given.get(name);
      if (typeof value === "string" && value !== "") return [name, value];
      throw new PosternError("invalid_input", { message: `The path must name a ${name}` });
    }),
  );
}
