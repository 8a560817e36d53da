// A session of node-redis' cluster client, unmodified: node_redis_cluster.mjs PORT, of any node

import assert from "node:assert/strict";
import { createCluster } from "redis";

const cluster = createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${process.argv[2]}` }] });
await cluster.connect();
for (let number = 0; number < 100; number++) assert.equal(await cluster.set(`k${number}`, String(number)), "OK");
assert.equal(await cluster.get("k77"), "77");
assert.equal(cluster.masters.length, 2);
assert.deepEqual(await cluster.multi().set("{t}a", "1").incr("{t}a").exec(), ["OK", 2]);

let hear;
const heard = new Promise((done) => (hear = done));
await cluster.sSubscribe("shard", (message) => hear(message));
await cluster.sPublish("shard", "hello");
assert.equal(await heard, "hello");
cluster.destroy();
