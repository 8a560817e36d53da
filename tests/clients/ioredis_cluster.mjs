// A session of ioredis' cluster client, unmodified: ioredis_cluster.mjs PORT, of any node

import assert from "node:assert/strict";
import { Cluster } from "ioredis";

const cluster = new Cluster([{ host: "127.0.0.1", port: Number(process.argv[2]) }]);
await cluster.flushall();
for (let number = 0; number < 100; number++) assert.equal(await cluster.set(`k${number}`, number), "OK");
for (let number = 0; number < 100; number++) assert.equal(await cluster.get(`k${number}`), String(number));
assert.equal(cluster.nodes("master").length, 2);
assert.deepEqual(await cluster.mget("{t}a", "{t}b"), [null, null]);
const replies = await cluster.pipeline().set("{p}n", 1).incr("{p}n").get("{p}n").exec();
assert.deepEqual(replies, [[null, "OK"], [null, 2], [null, "2"]]);
assert.deepEqual(await cluster.multi().incr("{p}n").del("{p}n").exec(), [[null, 3], [null, 1]]);
await assert.rejects(cluster.incr("{t}x", "y"), /wrong number of arguments/);

const listener = cluster.duplicate();
const heard = new Promise((done) => listener.on("message", (channel, message) => done([channel, message])));
await listener.subscribe("news");
await cluster.publish("news", "hello");
assert.deepEqual(await heard, ["news", "hello"]);
listener.disconnect();
cluster.disconnect();
