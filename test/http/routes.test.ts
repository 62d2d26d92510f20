/** What follows from the list of routes. */
import { expect, test } from "vitest";
import { createRoutes } from "../../src/http/app.js";
import { ModelCatalogue } from "../../src/http/routes/models.js";

function fail(): never {
  throw new Error("nothing is asked of what the routes work with");
}

const ROUTES = createRoutes({
  imageService: { generate: fail },
  format: "png",
  models: new ModelCatalogue("Nano", 0),
  limits: () => null,
  health: fail,
  readyRefusal: fail,
  meter: { contentType: "", observeRequest: fail, render: fail },
});

test("the list has every path", () => {
  expect(ROUTES.flatMap(({ method, paths }) => paths.map((path) => `${method} ${path}`))).toEqual([
    ...["get /", "get /health_check", "get /ready", "get /metrics", "post /dalle"],
    ...["post /v1/images/generations", "post /images/generations"],
    ...["get /v1/models", "get /models", "get /v1/models/:id", "get /models/:id"],
  ]);
});

test.each(ROUTES)("$method $paths says in a sentence what it does", ({ doc }) => {
  expect(doc).toMatch(/^[A-Z][^.]+\.$/);
});

test("exactly what is posted has a schema, also before the limits of the model are known", () => {
  const body = { text: "a", prompt: "a", cond_scale: 99 };
  for (const { method, bodySchema } of ROUTES) {
    const fields = bodySchema?.(null).parse(body);
    if (method === "get") expect(fields).toBeUndefined();
    else expect(fields).toMatchObject({ cond_scale: 99 });
  }
});
