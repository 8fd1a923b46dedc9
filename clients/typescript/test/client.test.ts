import assert from "node:assert/strict";
import { test } from "node:test";
import { createCymba, eventsOf, SignedOut, type TokenPair, type TokenStore } from "../src/index.ts";

const BASE = "http://127.0.0.1:1";

function pair(name: string): TokenPair {
  return {
    access_token: `access-${name}`,
    refresh_token: `refresh-${name}`,
    expires_in: 900,
    token_type: "Bearer",
  } as unknown as TokenPair;
}

class Kept implements TokenStore {
  pair: TokenPair | null = pair("1");
  read = async () => this.pair;
  write = async (given: TokenPair | null) => void (this.pair = given);
}

/** A server that takes the access token `access-2`, and answers what `answers` says first. */
function server(answers: ("lost" | number)[] = []) {
  const asked: string[] = [];
  const ask = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const request = new Request(input, init);
    const path = new URL(request.url).pathname;
    const body = await request.text();
    asked.push(`${request.method} ${path} ${request.headers.get("Authorization") ?? ""} ${body}`.trim());
    const next = answers.shift();
    if (next === "lost") throw new TypeError("fetch failed");
    if (next !== undefined) return Response.json({}, { status: next, headers: { "Retry-After": "0" } });
    if (path === "/v1/auth/refresh") return Response.json(pair("2"));
    const good = request.headers.get("Authorization") === "Bearer access-2";
    return Response.json({}, { status: good ? 200 : 401 });
  };
  return { asked, fetch: ask as typeof fetch };
}

function clientOf(fetch: typeof globalThis.fetch, tokens: TokenStore) {
  return createCymba({ baseUrl: BASE, tokens, fetch, sleep: async () => undefined });
}

test("requests that are refused together refresh once", async () => {
  const { asked, fetch } = server();
  const client = clientOf(fetch, new Kept());
  const answers = await Promise.all([1, 2, 3].map(() => client.GET("/v1/account")));
  assert.deepEqual(answers.map(({ response }) => response.status), [200, 200, 200]);
  assert.equal(asked.filter((line) => line.startsWith("POST /v1/auth/refresh")).length, 1);
});

test("what another tab has refreshed is not refreshed again", async () => {
  const { asked, fetch } = server([401]);
  const tokens = new Kept();
  const client = clientOf(async (...given) => {
    const answer = await fetch(...given);
    tokens.pair = pair("2"); // the other tab is done by now
    return answer;
  }, tokens);
  assert.equal((await client.GET("/v1/account")).response.status, 200);
  assert.equal(asked.length, 2);
});

test("a refresh whose answer was lost shows the same token again", async () => {
  const { asked, fetch } = server([401, "lost", 503]);
  assert.equal((await clientOf(fetch, new Kept()).GET("/v1/account")).response.status, 200);
  const refreshes = asked.filter((line) => line.startsWith("POST /v1/auth/refresh"));
  assert.equal(refreshes.length, 3);
  assert.equal(new Set(refreshes).size, 1);
});

test("a refresh that is refused signs out, and keeps no token", async () => {
  const { fetch } = server([401, 401]);
  const tokens = new Kept();
  await assert.rejects(clientOf(fetch, tokens).GET("/v1/account"), SignedOut);
  assert.equal(tokens.pair, null);
});

test("what needs no token is asked without one, also where the API has a path before its own", async () => {
  const signedOut = new Kept();
  signedOut.pair = null;
  for (const baseUrl of [BASE, `${BASE}/cymba/`]) {
    const { asked, fetch } = server([200]);
    const client = createCymba({ baseUrl, tokens: signedOut, fetch });
    await client.POST("/v1/account/email/confirm", { body: { code: "c" } });
    assert.match(asked[0] ?? "", /confirm +\{"code":"c"\}$/);
    await assert.rejects(client.GET("/v1/account"), SignedOut);
  }
});

test("the app's language is asked for, with and without a token", async () => {
  const wanted: (string | null)[] = [];
  const fetch = (async (input: RequestInfo | URL, init?: RequestInit) => {
    wanted.push(new Request(input, init).headers.get("Accept-Language"));
    return Response.json({});
  }) as typeof globalThis.fetch;
  let language = "de-AT";
  const client = createCymba({ baseUrl: BASE, tokens: new Kept(), fetch, language: () => language });
  await client.POST("/v1/account/email/confirm", { body: { code: "c" } });
  language = "en";
  await client.GET("/v1/account");
  assert.deepEqual(wanted, ["de-AT", "en"]);
});

test("a refresh goes to where the API is", async () => {
  const { asked, fetch } = server([401]);
  const client = createCymba({ baseUrl: `${BASE}/cymba/`, tokens: new Kept(), fetch });
  await client.GET("/v1/account").catch(() => undefined);
  assert.match(asked[1] ?? "", /^POST \/cymba\/v1\/auth\/refresh/);
});

test("only what does no harm is sent again by itself", async () => {
  const signedIn = new Kept();
  signedIn.pair = pair("2");
  const reads = server(["lost", 503]);
  assert.equal((await clientOf(reads.fetch, signedIn).GET("/v1/account")).response.status, 200);
  const tries = server(["lost"]);
  const proof = { body: { password: "p" } };
  await assert.rejects(clientOf(tries.fetch, signedIn).POST("/v1/account/proof", proof), TypeError);
  assert.equal(tries.asked.length, 1);
  const pushes = server(["lost"]);
  await clientOf(pushes.fetch, signedIn).POST("/v1/sync", { body: { operations: [] } });
  assert.equal(pushes.asked.length, 2);
  assert.equal(new Set(pushes.asked).size, 1);
});

test("what makes something is sent again under one key, and the next thing has another", async () => {
  const signedIn = new Kept();
  signedIn.pair = pair("2");
  const keys: (string | null)[] = [];
  const underWay = { type: "urn:cymba:problem:request-under-way" };
  const { asked, fetch } = server(["lost", 503]);
  const client = clientOf(async (...given) => {
    keys.push((given[0] as Request).headers.get("Idempotency-Key"));
    return keys.length === 3 ? Response.json(underWay, { status: 409 }) : await fetch(...given);
  }, signedIn);
  const wanted = { body: { serial: "s", code: "c" } };
  const first = await client.POST("/v1/devices/claim", wanted);
  assert.equal(first.response.status, 409); // after the last try
  assert.equal(new Set(keys).size, 1);
  assert.equal(new Set(asked).size, 1);
  await client.POST("/v1/experiments/{experiment_id}/blocks/{number}/agree", {
    params: { path: { experiment_id: "e", number: 1 }, header: { "Idempotency-Key": "of-the-app-itself" } },
  });
  await client.POST("/v1/devices/claim", wanted);
  assert.match(keys[0] ?? "", /^[0-9a-f-]{36}$/);
  assert.equal(keys[3], "of-the-app-itself");
  assert.notEqual(keys[4], keys[0]);
  await client.GET("/v1/account");
  assert.equal(keys[5], null);
});

test("events are read wherever their bytes are cut", async () => {
  const text = 'retry: 1000\n\nevent: samples\nid: 7:1-2\ndata: {"n":"ü"}\n\n: still here\n\nevent: end\nid: x\ndata: {}\n\n';
  const bytes = new TextEncoder().encode(text);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(bytes.slice(0, cut));
        controller.enqueue(bytes.slice(cut));
        controller.close();
      },
    });
    const events = await Array.fromAsync(eventsOf(new Response(body)));
    assert.deepEqual(events, [
      { event: "samples", id: "7:1-2", data: '{"n":"ü"}' },
      { event: "end", id: "x", data: "{}" },
    ]);
  }
});
