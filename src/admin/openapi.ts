import { z } from "zod";
import { ADMIN_PREFIX, adminError } from "./contract.ts";
import type { Route } from "./routes/route.ts";

/** A JSON object. */
export type JsonObject = { [name: string]: z.core.util.JSONType };

/** The OpenAPI 3.1 document of the routes: the same schemas that check every call, so that it cannot say anything else. */
export function createOpenApi(routes: readonly Route[], version: string): JsonObject {
  const paths = new Map<string, JsonObject>();
  for (const route of routes) {
    const path = `${ADMIN_PREFIX}${route.path}`;
    paths.set(path, { ...paths.get(path), [route.method.toLowerCase()]: toOperation(route) });
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Postern admin API",
      version,
      description:
        "Times are UTC milliseconds, durations milliseconds, money micro-dollars. Unknown fields of a request are errors.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "http://127.0.0.1:8401" }],
    paths: Object.fromEntries(paths),
    components: {
      schemas: { Error: toJsonSchema(adminError, "output") },
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "psta_… of `postern admin tokens create`" },
        session: { type: "apiKey", in: "cookie", name: "__Host-postern-session" },
      },
    },
  };
}

function toOperation(route: Route): JsonObject {
  const body = toJsonSchema(route.body, "input");
  const hasBody = Object.keys(asObject(body["properties"])).length > 0;
  return {
    operationId: operationId(route),
    summary: route.summary,
    tags: [route.resource],
    security: route.role === "anyone" ? [] : [{ token: [] }, { session: [] }],
    "x-role": route.role,
    ...(route.resource === "self" ? {} : { "x-scope": `${route.resource}:${route.access}` }),
    parameters: [...pathParameters(route.path), ...queryParameters(route)],
    ...(hasBody ? { requestBody: { required: true, content: json(body) } } : {}),
    responses: {
      [route.status]: { description: "Done", content: json(toJsonSchema(route.answer, "output")) },
      default: { description: "Refused or failed", content: json({ $ref: "#/components/schemas/Error" }) },
    },
  };
}

/** `getKeys`, `postKeysKeyRevoke`. */
function operationId({ method, path }: Route): string {
  const words = path.split(/[^A-Za-z]+/).filter((word) => word !== "");
  return method.toLowerCase() + words.map((word) => `${word[0]?.toUpperCase()}${word.slice(1)}`).join("");
}

function pathParameters(path: string): JsonObject[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string", minLength: 1 },
  }));
}

function queryParameters({ query }: Route): JsonObject[] {
  const schema = toJsonSchema(query, "output");
  const optional = toJsonSchema(query, "input");
  const required = Array.isArray(optional["required"]) ? optional["required"] : [];
  return Object.entries(asObject(schema["properties"])).map(([name, property]) => ({
    name,
    in: "query",
    required: required.includes(name) && asObject(property)["default"] === undefined,
    schema: property,
  }));
}

function toJsonSchema(schema: z.ZodType, io: "input" | "output"): JsonObject {
  const { $schema: _version, ...rest } = z.toJSONSchema(schema, { io, target: "draft-2020-12" });
  return JSON.parse(JSON.stringify(rest)) as JsonObject;
}

function json(schema: JsonObject): JsonObject {
  return { "application/json": { schema } };
}

function asObject(value: z.core.util.JSONType | undefined): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
}
