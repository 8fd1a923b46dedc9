// Shows the OpenAPI document and lets its routes be tried. Everything is built with textContent,
// so nothing in the document or in an answer can become markup.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function resolve(api, node) {
  return node && node.$ref
    ? node.$ref.slice(2).split("/").reduce((found, key) => found[key], api)
    : node;
}

function pretty(value) {
  return JSON.stringify(value, null, 2);
}

// The little Markdown that the document is written in: `code`, **strong**, and lists.
function words(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith("`")) return make("code", { textContent: part.slice(1, -1) });
    if (part.startsWith("**")) return make("strong", { textContent: part.slice(2, -2) });
    return part;
  });
}

function paragraphs(text) {
  return text.trim().split(/\n\s*\n/).map((block) => (block.startsWith("* ")
    ? make("ul", {}, ...block.slice(2).split("\n* ").map((item) => make("li", {}, ...words(item))))
    : make("p", {}, ...words(block))));
}

// One line a field: `name: type (limits) — what it is`, nested by indentation.
function describe(api, schema, indent = "", seen = []) {
  if (!schema) return "";
  if (schema.$ref) {
    if (seen.includes(schema.$ref)) return `${indent}(as above)\n`;
    return describe(api, resolve(api, schema), indent, [...seen, schema.$ref]);
  }
  const alternatives = schema.anyOf || schema.oneOf;
  if (alternatives) {
    return alternatives.map((one) => describe(api, one, indent, seen)).join(`${indent}or\n`);
  }
  if (schema.properties) {
    const required = schema.required || [];
    return Object.entries(schema.properties).map(([name, field]) => {
      const inner = resolve(api, field);
      const mark = required.includes(name) ? "" : "?";
      const line = `${indent}${name}${mark}: ${kind(api, field)}`;
      const about = field.description || inner.description;
      const nested = inner.properties || (inner.items && resolve(api, inner.items).properties);
      const deeper = nested
        ? describe(api, inner.properties ? field : inner.items, `${indent}    `, seen) : "";
      return `${line}${about ? `  — ${about.replace(/\s+/g, " ")}` : ""}\n${deeper}`;
    }).join("");
  }
  return `${indent}${kind(api, schema)}\n`;
}

function kind(api, schema) {
  const field = resolve(api, schema);
  const alternatives = field.anyOf || field.oneOf;
  if (alternatives) return alternatives.map((one) => kind(api, one)).join(" | ");
  if (field.enum) return field.enum.map((value) => JSON.stringify(value)).join(" | ");
  let text = [field.type || "any"].flat().join(" | ");
  if (field.items) text = `[${kind(api, field.items)}]`;
  if (field.format) text += ` ${field.format}`;
  const limits = [["minimum", "≥ "], ["maximum", "≤ "], ["minLength", "≥ ", " characters"],
    ["maxLength", "≤ ", " characters"], ["minItems", "≥ ", " items"], ["maxItems", "≤ ", " items"],
    ["pattern", "matches "], ["default", "default "]]
    .filter(([key]) => field[key] !== undefined)
    .map(([key, before, after = ""]) => before
      + (key === "default" ? JSON.stringify(field[key]) : field[key]) + after);
  return limits.length ? `${text} (${limits.join(", ")})` : text;
}

function parametersOf(api, item, operation) {
  return [...(item.parameters || []), ...(operation.parameters || [])]
    .map((one) => resolve(api, one));
}

function mediaExample(media) {
  if (media.example !== undefined) return media.example;
  const first = Object.values(media.examples || {})[0];
  return first ? first.value : undefined;
}

function showMedia(api, type, media) {
  const example = mediaExample(media);
  return make("div", {},
    make("p", { className: "soft", textContent: type }),
    make("pre", { textContent: describe(api, media.schema).trimEnd() }),
    example === undefined ? null : make("details", {},
      make("summary", { textContent: "Example" }),
      make("pre", { textContent: typeof example === "string" ? example : pretty(example) })));
}

function showAnswers(api, operation) {
  return Object.entries(operation.responses).map(([status, reference]) => {
    const response = resolve(api, reference);
    return make("details", { open: status.startsWith("2") },
      make("summary", {}, make("code", { textContent: status }), " ", ...words(response.description)),
      ...Object.entries(response.headers || {}).map(([name, header]) => make("p", {},
        make("code", { textContent: name }), " ", ...words(header.description || ""))),
      ...Object.entries(response.content || {})
        .map(([type, media]) => showMedia(api, type, media)));
  });
}

function showParameters(api, parameters, inputs) {
  if (!parameters.length) return null;
  const rows = parameters.map((one) => {
    const input = make("input", { ariaLabel: one.name });
    inputs.push([one, input]);
    return make("tr", {},
      make("td", {}, make("code", { textContent: one.name + (one.required ? "" : "?") }),
        make("div", { className: "soft", textContent: one.in })),
      make("td", {}, kind(api, one.schema),
        make("div", { className: "soft" }, ...words(one.description || ""))),
      make("td", {}, input));
  });
  return make("table", {}, make("thead", {}, make("tr", {}, make("th", { textContent: "Parameter" }),
    make("th", { textContent: "What it is" }), make("th", { textContent: "Value to try" }))),
    make("tbody", {}, ...rows));
}

async function send(method, path, inputs, body, output) {
  const query = new URLSearchParams();
  const headers = {};
  for (const [one, input] of inputs) {
    if (input.value === "") continue;
    if (one.in === "path") path = path.replace(`{${one.name}}`, encodeURIComponent(input.value));
    if (one.in === "query") query.append(one.name, input.value);
    if (one.in === "header") headers[one.name] = input.value;
  }
  const token = document.getElementById("token").value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  const address = query.size ? `${path}?${query}` : path;
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 10000); // a live view never ends by itself
  output.textContent = "…";
  try {
    const response = await fetch(address, {
      method: method.toUpperCase(), headers, body: body ? body.value : undefined,
      cache: "no-store", signal: stop.signal,
    });
    const shown = [`${response.status} ${response.statusText}`];
    for (const name of ["etag", "retry-after", "content-type", "x-request-id"]) {
      if (response.headers.has(name)) shown.push(`${name}: ${response.headers.get(name)}`);
    }
    let text = await response.text();
    if ((response.headers.get("content-type") || "").includes("json")) {
      try { text = pretty(JSON.parse(text)); } catch { /* shown as it came */ }
    }
    output.textContent = `${shown.join("\n")}\n\n${text}`;
    if (path === "/v1/auth/token" && response.ok) {
      document.getElementById("token").value = JSON.parse(text).access_token;
    }
  } catch (error) {
    output.textContent = String(error);
  }
}

function showOperation(api, path, item, method) {
  const operation = item[method];
  const inputs = [];
  const content = Object.values((operation.requestBody || {}).content || {})[0];
  const body = content
    ? make("textarea", { ariaLabel: "Body", value: pretty(mediaExample(content) || {}) }) : null;
  const output = make("pre", { hidden: true });
  const open = operation.security && operation.security.length === 0;
  return make("section", { id: operation.operationId },
    make("h3", {}, make("span", { className: `method ${method}`, textContent: method.toUpperCase() }),
      make("code", { textContent: path })),
    make("p", {}, make("strong", { textContent: operation.summary || "" }),
      open ? make("span", { className: "soft", textContent: "  needs no token" }) : null),
    ...paragraphs(operation.description || ""),
    showParameters(api, parametersOf(api, item, operation), inputs),
    content ? make("h4", { textContent: "Body" }) : null,
    content ? make("pre", { textContent: describe(api, content.schema).trimEnd() }) : null,
    body,
    make("button", { type: "button", textContent: "Try it", onclick: () => {
      output.hidden = false;
      send(method, path, inputs, body, output);
    } }),
    output,
    make("h4", { textContent: "Answers" }),
    ...showAnswers(api, operation));
}

function show(api) {
  document.getElementById("version").textContent = api.info.version;
  const routes = document.getElementById("routes");
  const contents = document.getElementById("contents");
  routes.replaceChildren(...paragraphs(api.info.description || ""));
  for (const tag of api.tags || []) {
    contents.append(make("h2", { textContent: tag.name, title: tag.description || "" }));
    for (const [path, item] of Object.entries(api.paths)) {
      for (const method of METHODS.filter((one) => item[one])) {
        const operation = item[method];
        if (!(operation.tags || []).includes(tag.name)) continue;
        contents.append(make("a", { href: `#${operation.operationId}`, title: operation.summary },
          make("span", { className: `method ${method}`, textContent: method.toUpperCase() }),
          make("span", { textContent: path.replaceAll("/", "\u200b/") }))); // may break there
        routes.append(showOperation(api, path, item, method));
      }
    }
  }
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

fetch("/v1/openapi.json")
  .then((response) => response.json())
  .then(show)
  .catch((error) => {
    document.getElementById("routes").textContent = `The document could not be read: ${error}`;
  });
