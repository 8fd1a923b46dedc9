// A device that knows nothing but the protocol's page: it says the page's examples, byte for byte,
// and ends once all its frames are acknowledged. node publish.mjs PAGE URL VERSION ID SECRET [FENCE]
import { readFileSync } from "node:fs";
import mqtt from "mqtt";

const [file, url, version, id, secret, fence = "frame"] = process.argv.slice(2);
const page = readFileSync(file, "utf8");

function examples(kind) {
  const fence = new RegExp("^```json " + kind + "\\n([^`]*)\\n```$", "gm");
  return [...page.matchAll(fence)].flatMap((found) => found[1].split("\n"));
}

const frames = examples(fence);
const [online, offline] = examples("presence");
const { store } = JSON.parse(frames[0]);
const last = JSON.parse(frames.at(-1)).seq;
const topic = (name) => `cymba/v1/${id}/${name}`;

const client = await mqtt.connectAsync(url, {
  clientId: id,
  username: id,
  password: secret,
  clean: true,
  keepalive: 40,
  protocolVersion: Number(version),
  reconnectPeriod: 0,
  will: { topic: topic("up/presence"), payload: offline, qos: 1, retain: true },
});
const acknowledged = new Promise((resolve, reject) => {
  client.on("message", (from, payload) => {
    const ack = JSON.parse(payload);
    if (from !== topic("down/ack") || ack.store !== store) return;
    if (ack.rejected?.length) reject(new Error(payload));
    if (ack.upto >= last) resolve(ack);
  });
});
await client.subscribeAsync(topic("down/#"), { qos: 1 });
await client.publishAsync(topic("up/presence"), online, { qos: 1, retain: true });
for (const frame of frames) await client.publishAsync(topic("up/frame"), frame, { qos: 1 });
console.log(JSON.stringify(await acknowledged));
await client.endAsync();
