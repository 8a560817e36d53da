// The module under Node: node check.mjs MODULE [WASI-MODULE]. Ends with an error if anything is not
// as it should be.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Kvik, KvikError } from "./kvik.js";

const [module, wasiModule] = process.argv.slice(2);

const store = await Kvik.load(readFile(module));
families(store);
bytes(store);
errors(store);
much(store);
await expiry(store);
store.close();
if (wasiModule !== undefined) {
  await files(wasiModule);
}
console.log("ok");

function families(store) {
  assert.equal(store.run("PING"), "PONG");
  assert.equal(store.run("SET", "k", "v"), "OK");
  assert.equal(store.run("GET", "k"), "v");
  assert.equal(store.run("GET", "none"), null);
  assert.equal(store.run("INCRBY", "n", -5), -5);
  assert.equal(store.run("INCRBY", "large", "9007199254740993"), 9007199254740993n);
  assert.equal(store.run("RPUSH", "list", "a", "b", "c"), 3);
  assert.deepEqual(store.run("LRANGE", "list", 0, -1), ["a", "b", "c"]);
  store.run("HSET", "hash", "f", 1, "g", 2);
  assert.deepEqual(store.run("HGETALL", "hash"), new Map([["f", "1"], ["g", "2"]]));
  store.run("SADD", "set", "a", "b");
  assert.deepEqual(store.run("SMEMBERS", "set"), new Set(["a", "b"]));
  store.run("ZADD", "scores", 1.5, "a", "-inf", "b");
  assert.equal(store.run("ZSCORE", "scores", "a"), 1.5);
  assert.equal(store.run("ZSCORE", "scores", "b"), -Infinity);
  const id = store.run("XADD", "stream", "*", "f", "v");
  assert.deepEqual(store.run("XRANGE", "stream", "-", "+"), [[id, ["f", "v"]]]);
  assert.ok(Math.abs(Number(id.split("-")[0]) - Date.now()) < 60_000);
  store.run("GEOADD", "places", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania");
  assert.match(store.run("GEODIST", "places", "Palermo", "Catania", "km"), /^166\./);
  store.run("PFADD", "visitors", ...Array.from({ length: 1000 }, (_, number) => number));
  const guess = store.run("PFCOUNT", "visitors");
  assert.ok(guess > 950 && guess < 1050);
  assert.ok(store.run("INFO", "server").includes("redis_version"));
  // Nobody could answer meanwhile.
  assert.equal(store.run("BLPOP", "none", 0), null);
}

function bytes(store) {
  const all = Uint8Array.from({ length: 256 }, (_, number) => number);
  store.run("SET", "bytes", all);
  assert.deepEqual(store.bytes("GET", "bytes"), all);
  store.run("SET", "", "");
  assert.equal(store.run("GET", ""), "");
  const long = "x".repeat(20 << 20);
  store.run("SET", "long", long);
  assert.equal(store.run("GET", "long"), long);
  assert.equal(store.run("DEL", "long"), 1);
}

function errors(store) {
  assert.throws(() => store.run("INCR", "k"), new KvikError("ERR value is not an integer or out of range"));
  assert.throws(() => store.run("NOSUCH"), KvikError);
  assert.throws(() => store.run("EVAL", "return 1", 0), KvikError);
  assert.throws(() => store.run(), KvikError);
}

/** Tables grow, large collections leave their entry, and memory is used again. */
function much(store) {
  for (let number = 0; number < 100_000; number++) {
    store.run("SET", `much:${number}`, number);
  }
  for (let number = 0; number < 5000; number++) {
    store.run("HSET", "large hash", `field ${number}`, number);
    store.run("ZADD", "large scores", number % 97, `member ${number}`);
  }
  assert.equal(store.run("GET", "much:99999"), "99999");
  assert.equal(store.run("HLEN", "large hash"), 5000);
  assert.equal(store.run("ZRANK", "large scores", "member 96"), 4998);
  let [cursor, seen] = ["0", new Set()];
  do {
    const [next, keys] = store.run("SCAN", cursor, "MATCH", "much:*", "COUNT", 1000);
    keys.forEach((key) => seen.add(key));
    cursor = next;
  } while (cursor !== "0");
  assert.equal(seen.size, 100_000);
  for (let number = 0; number < 100_000; number++) {
    store.run("DEL", `much:${number}`);
  }
  store.run("FLUSHALL");
  store.tick();
  assert.equal(store.run("DBSIZE"), 0);
}

async function expiry(store) {
  store.run("SET", "short", "v", "PX", 30);
  store.run("SET", "kept", "v", "EX", 100);
  assert.ok(store.tick() <= 30);
  await new Promise((done) => setTimeout(done, 40));
  assert.equal(store.run("DBSIZE"), 2);
  store.tick();
  assert.equal(store.run("DBSIZE"), 1);
  assert.ok(store.run("TTL", "kept") > 90);
}

/** Two processes, one after the other, with the same directory. */
async function files(module) {
  const { WASI } = await import("node:wasi");
  const bytes = await readFile(module);
  const directory = await mkdtemp(join(tmpdir(), "kvik-"));
  const open = async () => {
    const wasi = new WASI({ version: "preview1", preopens: { "/": directory } });
    // Node 20 crashes where a module calls these functions of its own directly.
    const calls = Object.entries(wasi.getImportObject().wasi_snapshot_preview1);
    const wrapped = calls.map(([name, call]) => [name, (...words) => call(...words)]);
    const imports = { wasi_snapshot_preview1: Object.fromEntries(wrapped) };
    const { instance } = await WebAssembly.instantiate(bytes, imports);
    wasi.initialize(instance);
    return new Kvik(instance.exports, "/data");
  };
  try {
    const first = await open();
    first.run("RPUSH", "list", "a", "b");
    first.run("SET", "k", "v", "EX", 100);
    first.commit();
    first.run("SET", "late", "v");
    first.tick();
    // The process ends here without closing its store.
    const second = await open();
    assert.deepEqual(second.run("LRANGE", "list", 0, -1), ["a", "b"]);
    assert.ok(second.run("TTL", "k") > 90);
    assert.equal(second.run("GET", "late"), "v");
    second.run("BGREWRITEAOF");
    second.tick();
    second.run("SET", "last", "v");
    second.run("SAVE");
    second.close();
    const third = await open();
    assert.equal(third.run("DBSIZE"), 4);
    third.close();
  } finally {
    await rm(directory, { recursive: true });
  }
}
