// A session of ioredis, unmodified, in both protocols: ioredis.mjs PORT

import assert from "node:assert/strict";
import Redis from "ioredis";

async function session(protocol) {
  const redis = new Redis({ port: Number(process.argv[2]), connectionName: "ioredis", db: 2, protocol });
  await redis.flushall();
  await commands(redis);
  await watch(redis);
  redis.disconnect();
}

async function commands(redis) {
  assert.equal(await redis.set("k", "v", "EX", 100, "NX"), "OK");
  assert.equal(await redis.set("k", "w", "NX"), null);
  assert.equal(await redis.getset("k", "w"), "v");
  await redis.mset("a", 1, "b", 2);
  assert.deepEqual(await redis.mget("a", "none", "b"), ["1", null, "2"]);
  assert.deepEqual(await redis.multi().incr("a").get("b").exec(), [[null, 2], [null, "2"]]);
  assert.deepEqual(await redis.pipeline().del("a", "b").exists("a").exec(), [[null, 2], [null, 0]]);
  await assert.rejects(redis.incr("k"), /not an integer/);
  assert.equal(await redis.client("GETNAME"), "ioredis");
  assert.match(await redis.info("server"), /tcp_port:/);
  const keys = [];
  for await (const page of redis.scanStream({ match: "k*" })) keys.push(...page);
  assert.deepEqual(keys, ["k"]);
}

async function watch(redis) {
  await redis.watch("k");
  const other = redis.duplicate();
  await other.set("k", "changed");
  assert.equal(await redis.multi().set("k", "lost").exec(), null);
  assert.equal(await redis.get("k"), "changed");
  other.disconnect();
}

await session(2);
await session(3);
