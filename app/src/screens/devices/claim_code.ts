/** What a device's QR code says: `cymba:claim?serial=…&code=…`, a link with both, or `serial code`. */
export function claimOf(text: string): { serial: string; code: string } | null {
  const query = text.includes("?") ? new URLSearchParams(text.slice(text.indexOf("?") + 1)) : null;
  const [first = "", second = ""] = text.trim().split(/[\s;,]+/);
  const serial = query?.get("serial") ?? (query === null ? first : "");
  const code = query?.get("code") ?? (query === null ? second : "");
  return serial !== "" && code !== "" ? { serial, code } : null;
}
