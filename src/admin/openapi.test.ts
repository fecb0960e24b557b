import { expect, test } from "vitest";
import { z } from "zod";
import { ADMIN_PREFIX } from "./contract.ts";
import { openApi, ROUTES } from "./routes/table.ts";

/** What the specification asks of the parts that we use (OpenAPI 3.1, §4.8). */
const operation = z.strictObject({
  operationId: z.string().regex(/^[A-Za-z]+$/),
  summary: z.string().min(8),
  tags: z.array(z.string()).length(1),
  security: z.array(z.record(z.string(), z.array(z.string()))),
  "x-role": z.string(),
  "x-scope": z.string().optional(),
  parameters: z.array(
    z.strictObject({
      name: z.string(),
      in: z.enum(["path", "query"]),
      required: z.boolean(),
      schema: z.looseObject({ type: z.string().optional() }),
    }),
  ),
  requestBody: z
    .strictObject({
      required: z.literal(true),
      content: z.strictObject({
        "application/json": z.object({ schema: z.looseObject({ type: z.literal("object") }) }),
      }),
    })
    .optional(),
  responses: z.record(z.string(), z.strictObject({ description: z.string(), content: z.looseObject({}) })),
});

const document = z.strictObject({
  openapi: z.literal("3.1.0"),
  info: z.looseObject({ title: z.string(), version: z.string() }),
  servers: z.array(z.object({ url: z.url() })),
  paths: z.record(z.string().startsWith("/"), z.record(z.string().regex(/^(get|post|put|patch|delete)$/), operation)),
  components: z.looseObject({ schemas: z.looseObject({ Error: z.looseObject({}) }) }),
});

test("the OpenAPI document is one, and has every route with its parameters, body and answer", () => {
  const { paths } = document.parse(openApi());
  const documented = Object.entries(paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(documented.toSorted()).toEqual(
    ROUTES.map(({ method, path }) => `${method} ${ADMIN_PREFIX}${path}`).toSorted(),
  );
  for (const route of ROUTES) {
    const one = paths[`${ADMIN_PREFIX}${route.path}`]?.[route.method.toLowerCase()];
    const inPath = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    expect(one?.parameters.filter((parameter) => parameter.in === "path").map(({ name }) => name)).toEqual(inPath);
    expect(Object.keys(one?.responses ?? {})).toEqual([String(route.status), "default"]);
    expect(one?.security).toHaveLength(route.role === "anyone" ? 0 : 2);
  }
  const ids = Object.values(paths).flatMap((operations) => Object.values(operations).map((one) => one?.operationId));
  expect(new Set(ids).size).toBe(ids.length);
});

test("every reference of the document points at something in it", () => {
  const text = JSON.stringify(openApi());
  const references = [...text.matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference = ""]) => reference);
  expect(references.length).toBeGreaterThan(0);
  for (const reference of references) expect(reference).toMatch(/^#\/components\/schemas\/Error$/);
});

test("operations that the page of http.md promises are there", () => {
  const { paths } = document.parse(openApi());
  expect(paths["/admin/v1/requests/{id}"]?.["get"]?.["x-scope"]).toBe("requests:read");
  expect(paths["/admin/v1/keys"]?.["post"]?.requestBody).toBeDefined();
  expect(paths["/admin/v1/status"]?.["get"]?.requestBody).toBeUndefined();
});
