/** The engine's requests, sent by the client's signed `fetch`. */

import { urlOf } from "../places.ts";
import { SignedOut } from "../sign_in.ts";
import type { Send } from "./engine.ts";

export function sendBy(baseUrl: string, signed: (request: Request) => Promise<Response>): Send {
  return async (method, path, body) => {
    const init: RequestInit = { method };
    if (body !== undefined) {
      init.headers = { "Content-Type": "application/json" };
      init.body = JSON.stringify(body);
    }
    try {
      const response = await signed(new Request(urlOf(baseUrl, path), init));
      return { status: response.status, body: await response.json() };
    } catch (error) {
      if (error instanceof SignedOut) throw error;
      return null;
    }
  };
}
