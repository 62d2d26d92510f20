/** What follows from the list of routes. */
import { request } from "node:http";
import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createRoutes } from "../../src/http/app.js";
import { ModelCatalogue } from "../../src/http/routes/models.js";
import { startTestServer, type TestServer } from "../support/test-server.js";

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
const READ = "GET, HEAD, OPTIONS";
const WRITE = "POST, OPTIONS";
const METHODS_OF_PATHS = {
  ...{ "/": READ, "/health_check": READ, "/ready": READ, "/metrics": READ, "/dalle": WRITE },
  ...{ "/v1/images/generations": WRITE, "/images/generations": WRITE },
  ...{ "/v1/models": READ, "/models": READ, "/v1/models/:id": READ, "/models/:id": READ },
};

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.close());

test("the list has every path", () => {
  expect(ROUTES.flatMap(({ paths }) => paths)).toEqual(Object.keys(METHODS_OF_PATHS));
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

const refused = Object.entries(METHODS_OF_PATHS).flatMap(([path, allowed]) =>
  ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    .filter((method) => !allowed.includes(method))
    .map((method) => ({ method, path, allowed })),
);
test.each(refused)("$method $path is refused with Allow: $allowed", async (one) => {
  const answers: unknown[] = [];
  const call = request(`${server.url}${one.path}`, { method: one.method }, (response) => {
    answers.push([response.statusCode, response.headers.allow]);
    response.resume();
  });
  call.end();
  await once(call, "close");
  expect(answers).toEqual([[405, one.allowed]]);
});
