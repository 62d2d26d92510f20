/** `GET /v1/models`, `GET /v1/models/{id}`, and the names that clients may use for the model. */
import { AppError } from "../../errors.js";
import { neutralizeText } from "../../log.js";
import type { Route } from "../route.js";

/** Names that clients have built in, listed so that their model pickers find one. */
const LISTED_ALIASES = ["dall-e-2", "dall-e-3", "gpt-image-1"];
const ALIAS_PREFIXES = ["dall-e-", "gpt-image-", "chatgpt-image-"];

interface ModelEntry {
  readonly id: string;
  readonly object: "model";
  readonly created: number;
  readonly owned_by: string;
  /** The real id, when `id` is an alias. */
  readonly root?: string;
}

/** The model that is served, under its own id and under the names that clients have built in. */
export class ModelCatalogue {
  readonly id: string;
  readonly #createdS: number;

  /** `modelVersion` as in the configuration: `Mega_full` gets the id `dalle-mega-full`. */
  constructor(modelVersion: string, createdAtMs: number) {
    this.id = `dalle-${modelVersion.toLowerCase().replaceAll("_", "-")}`;
    this.#createdS = Math.floor(createdAtMs / 1000);
  }

  list(): ModelEntry[] {
    return [this.id, ...LISTED_ALIASES].map((id) => this.#describe(id));
  }

  /** @throws AppError `model_not_found` for a name that is neither the id nor an alias. */
  find(name: string): ModelEntry {
    const wanted = name.toLowerCase();
    const isKnown =
      wanted === this.id || ALIAS_PREFIXES.some((prefix) => wanted.startsWith(prefix));
    if (isKnown) return this.#describe(name);
    const message = `There is no model "${neutralizeText(name, 60)}" here; expected ${this.id}, or a name that starts with ${ALIAS_PREFIXES.join(", ")}.`;
    throw new AppError("model_not_found", message, { param: "model" });
  }

  #describe(id: string): ModelEntry {
    const root = id.toLowerCase() === this.id ? {} : { root: this.id };
    return { id, object: "model", created: this.#createdS, owned_by: "dalle-server", ...root };
  }
}

export function createModelRoutes(models: ModelCatalogue): readonly Route[] {
  return [
    {
      method: "get",
      paths: ["/v1/models", "/models"],
      doc: "Lists the model and the names that it answers to.",
      handle: (_request, response) => {
        response.json({ object: "list", data: models.list() });
      },
    },
    {
      method: "get",
      paths: ["/v1/models/:id", "/models/:id"],
      doc: "Describes the model under one of its names.",
      handle: (request, response) => {
        response.json(models.find(String(request.params["id"])));
      },
    },
  ];
}
