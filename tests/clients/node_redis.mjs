// A session of node-redis, unmodified, in both protocols: node_redis.mjs PORT

import assert from "node:assert/strict";
import { createClient } from "redis";

async function session(RESP) {
  const client = createClient({ socket: { port: Number(process.argv[2]) }, RESP, name: `node${RESP}` });
  await client.connect();
  await client.flushAll();
  await strings(client);
  await transactions(client);
  assert.equal(await client.clientGetName(), `node${RESP}`);
  assert.ok("maxclients" in (await client.configGet("maxclients")));
  client.destroy();
}

async function strings(client) {
  assert.equal(await client.set("k", "v", { expiration: { type: "EX", value: 100 } }), "OK");
  assert.equal(await client.set("k", "w", { condition: "NX" }), null);
  const ttl = await client.ttl("k");
  assert.ok(ttl > 0 && ttl <= 100);
  assert.equal(await client.incrBy("n", 42), 42);
  await client.mSet({ a: "1", b: "2" });
  assert.deepEqual(await client.mGet(["a", "none", "b"]), ["1", null, "2"]);
  await assert.rejects(client.incr("k"), /not an integer/);
  const seen = new Set();
  for await (const keys of client.scanIterator({ COUNT: 2 })) keys.forEach((key) => seen.add(key));
  assert.deepEqual([...seen].sort(), ["a", "b", "k", "n"]);
}

async function transactions(client) {
  const replies = await client.multi().set("x", "1").incr("x").get("x").exec();
  assert.deepEqual(replies, ["OK", 2, "2"]);
  // Sent at once: a pipeline keeps its order.
  const numbers = await Promise.all(Array.from({ length: 1000 }, () => client.incr("pipeline")));
  assert.deepEqual(numbers, Array.from({ length: 1000 }, (_, index) => index + 1));
}

await session(2);
await session(3);
