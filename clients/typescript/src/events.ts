/** Server-sent events over `fetch`, for `EventSource` can send no token. */

export interface ServerEvent {
  event: string;
  id: string;
  data: string;
}

/** The events of one answer, until it ends or is cut off. Comments are left out. */
export async function* eventsOf(response: Response): AsyncGenerator<ServerEvent> {
  if (response.body === null) return;
  let text = "";
  let id = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    text += piece;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const fields = new Map<string, string[]>();
      for (const line of text.slice(0, end).split("\n")) {
        const [name = "", value = ""] = split(line);
        fields.set(name, [...(fields.get(name) ?? []), value]);
      }
      text = text.slice(end + 2);
      id = fields.get("id")?.at(-1) ?? id;
      const data = fields.get("data");
      if (data !== undefined) {
        yield { event: fields.get("event")?.at(-1) ?? "message", id, data: data.join("\n") };
      }
    }
  }
}

function split(line: string): [string, string] {
  const colon = line.indexOf(":");
  if (colon < 0) return [line, ""];
  return [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
}
