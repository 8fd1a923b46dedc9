import { problemOf } from "../data/account.ts";

/** Hand a file of the server to the person, under the name that it gave. @throws its problem. */
export async function handOver(response: Response, name: string): Promise<void> {
  if (!response.ok) throw await problemOf(response);
  const named = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "");
  save(await response.blob(), named?.[1] ?? name);
}

/** Hand a file to the person. */
export function save(file: Blob, name: string): void {
  const url = URL.createObjectURL(file);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
