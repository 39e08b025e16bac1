// The OpenAPI document that the server serves.

export class Contract {
  /** The document as JSON. */
  document;

  constructor(document) {
    this.document = document;
  }

  /** Loads `/openapi.json`. */
  static async load() {
    const response = await fetch("/openapi.json");
    if (!response.ok) throw new Error(`the server responded with status ${response.status}`);
    return new Contract(await response.json());
  }

  /** Follows a `$ref`. Members beside it, such as a description, override the referenced ones. */
  resolve(node) {
    if (!node?.$ref) return node;
    const path = node.$ref.slice(2).split("/");
    const unescape = (key) => key.replaceAll("~1", "/").replaceAll("~0", "~");
    const found = path.reduce((at, key) => at[unescape(key)], this.document);
    const { $ref, ...overrides } = node;
    return { ...this.resolve(found), ...overrides };
  }

  /** Every operation as `{ path, verb, operation }`. */
  get operations() {
    return Object.entries(this.document.paths).flatMap(([path, verbs]) => (
      Object.entries(verbs).map(([verb, operation]) => ({ path, verb, operation }))
    ));
  }

  /** The error responses: pairs of a name and an example. */
  get problems() {
    const examples = Object.entries(this.document.components.examples);
    return examples.filter(([name]) => name.startsWith("problem-"));
  }

  /** The schemas of JSON responses: pairs of a name and a schema. */
  get responseSchemas() {
    return Object.entries(this.document.components.schemas)
      .filter(([name, schema]) => this.isListed(name, schema));
  }

  /** Whether the page lists a schema's members, so that its name can link to them. */
  isListed(name, schema) {
    const isInput = /Options$|^Image(File|Base64)$/.test(name);
    return schema.type === "object" && Boolean(schema.properties) && !isInput;
  }
}
