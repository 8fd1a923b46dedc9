// A consumer that gathers batches. node consumer.mjs MQTT_URL USER PASSWORD PG_URL COUNT before|after
//
// "before": mqtt.js acks a message when its handler returns, so what this has gathered and not yet
// written is lost with the process. "after": the same work as the bridge's. PUBACKs are held back
// where mqtt.js sends them, and leave after the commit, behind a receipt for each device.
// (`customHandleAcks` would handle the next message only after the last one's ack: batches of one.)
import mqtt from "mqtt";
import pg from "pg";

const [url, username, password, database, wanted, order] = process.argv.slice(2);
const count = Number(wanted);
const BATCH = 1000;
const LINGER_MS = order === "after" ? 5 : 50;

const pool = new pg.Pool({ connectionString: database, max: 2 });
await pool.query(
  "CREATE TABLE IF NOT EXISTS node_frame (id bigserial PRIMARY KEY, device_id text, body jsonb)",
);
const client = mqtt.connect(url, { clientId: username, username, password, clean: false });
const devices = [];
const bodies = [];
const ids = [];
const held = new Map(); // PUBACKs by message id; true for one whose message is committed already
const frames = new Map(); // of each device: right if it sends each once and in order
let writing = false;
let stored = 0;
let beganAt = 0;
let endedAt = 0;
let beganCount = 0;
let endedCount = 0;

const send = client._sendPacket.bind(client);
if (order === "after") {
  client._sendPacket = (packet, done, ...more) => {
    if (packet.cmd !== "puback") return send(packet, done, ...more);
    if (held.get(packet.messageId) === true) {
      held.delete(packet.messageId);
      return send(packet, done, ...more);
    }
    held.set(packet.messageId, packet);
    done?.();
    return client;
  };
}

function answer(some, committed) {
  for (const device of some) frames.set(device, (frames.get(device) ?? 0) + 1);
  for (const device of new Set(some)) {
    client.publish(`cymba/v1/${device}/down/ack`, `{"store":1,"upto":${frames.get(device)}}`);
  }
  for (const id of committed) {
    const packet = held.get(id);
    if (packet === undefined) held.set(id, true);
    else {
      held.delete(id);
      send(packet);
    }
  }
}

async function write() {
  if (writing || bodies.length === 0) return;
  writing = true;
  const [some, rows, committed] = [devices, bodies, ids].map((column) => column.splice(0, BATCH));
  await pool.query(
    "INSERT INTO node_frame (device_id, body) SELECT d, b::jsonb FROM unnest($1::text[], $2::text[]) AS t (d, b)",
    [some, rows],
  );
  writing = false;
  if (order === "after") answer(some, committed);
  stored += rows.length;
  const now = performance.now();
  if (!beganAt && stored >= count / 10) [beganAt, beganCount] = [now, stored];
  if (!endedAt && stored >= (count * 9) / 10) [endedAt, endedCount] = [now, stored];
  if (stored >= count) {
    const rate = (endedCount - beganCount) / ((endedAt - beganAt) / 1000);
    const { user, system } = process.cpuUsage();
    console.log(JSON.stringify({ rate, cpu_s: (user + system) / 1e6 }));
    client.end(false, () => process.exit(0)); // once all is sent
  }
  if (bodies.length >= BATCH) void write();
}
client.on("message", (topic, payload, packet) => {
  devices.push(topic.split("/")[2]);
  bodies.push(payload.toString());
  ids.push(packet.messageId);
  if (bodies.length >= BATCH) void write();
});
client.on("connect", () =>
  client.subscribe("cymba/v1/+/up/frame", { qos: 1 }, () => console.log("ready")),
);
setInterval(() => void write(), LINGER_MS);
