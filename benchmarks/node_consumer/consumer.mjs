// mqtt.js acks a message when its handler returns, so what this has gathered and not yet written
// is lost with the process. node consumer.mjs MQTT_URL USER PASSWORD PG_URL COUNT
import mqtt from "mqtt";
import pg from "pg";

const [url, username, password, database, wanted] = process.argv.slice(2);
const count = Number(wanted);
const BATCH = 1000;
const LINGER_MS = 50;

const pool = new pg.Pool({ connectionString: database, max: 2 });
await pool.query(
  "CREATE TABLE IF NOT EXISTS node_frame (id bigserial PRIMARY KEY, device_id text, body jsonb)",
);
const client = mqtt.connect(url, { clientId: username, username, password, clean: false });
const devices = [];
const bodies = [];
let writing = false;
let stored = 0;
let beganAt = 0;
let endedAt = 0;
let beganCount = 0;
let endedCount = 0;

async function write() {
  if (writing || bodies.length === 0) return;
  writing = true;
  const [some, rows] = [devices.splice(0, BATCH), bodies.splice(0, BATCH)];
  await pool.query(
    "INSERT INTO node_frame (device_id, body) SELECT d, b::jsonb FROM unnest($1::text[], $2::text[]) AS t (d, b)",
    [some, rows],
  );
  writing = false;
  stored += rows.length;
  const now = performance.now();
  if (!beganAt && stored >= count / 10) [beganAt, beganCount] = [now, stored];
  if (!endedAt && stored >= (count * 9) / 10) [endedAt, endedCount] = [now, stored];
  if (stored >= count) {
    const rate = (endedCount - beganCount) / ((endedAt - beganAt) / 1000);
    console.log(JSON.stringify({ rate, cpu_s: process.cpuUsage().user / 1e6 }));
    process.exit(0);
  }
  if (bodies.length >= BATCH) void write();
}
client.on("message", (topic, payload) => {
  devices.push(topic.split("/")[2]);
  bodies.push(payload.toString());
  if (bodies.length >= BATCH) void write();
});
client.on("connect", () =>
  client.subscribe("cymba/v1/+/up/frame", { qos: 1 }, () => console.log("ready")),
);
setInterval(() => void write(), LINGER_MS);
