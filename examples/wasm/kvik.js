// kvik inside a page, a worker or Node: a class around the module that kvik-ffi becomes for
// WebAssembly. The functions it calls are those of include/kvik.h, and two that take and give back
// memory of the module.

const NIL = 0, ERROR = 2, INTEGER = 3, BYTES = 4, DOUBLE = 5, BOOLEAN = 6, MAP = 8, SET = 9;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** An error that the store replies with. */
export class KvikError extends Error {}

/** What the module asks of the page. */
const page = {
  now_ms: () => Date.now(),
  random: () => crypto.getRandomValues(new Uint32Array(1))[0] / 2 ** 32,
};

/** A store in memory. */
export class Kvik {
  #calls;
  #store;
  #scratch;
  #timer;

  /** Loads the module: its bytes, or the response to a request for them, or a promise of one. */
  static async load(source) {
    const module = await source;
    const { instance } =
      typeof Response !== "undefined" && module instanceof Response
        ? await WebAssembly.instantiateStreaming(module, { kvik: page })
        : await WebAssembly.instantiate(module, { kvik: page });
    return new Kvik(instance.exports);
  }

  /** Opens a store with the functions of a module: in memory, or in a directory that WASI has. */
  constructor(calls, directory) {
    this.#calls = calls;
    this.#scratch = calls.kvik_take(8);
    this.#store = directory === undefined ? calls.kvik_open_memory() : this.#open(directory);
  }

  #open(directory) {
    const path = this.#place([`${directory}\0`]);
    const store = this.#calls.kvik_open(path.first, this.#scratch);
    this.#calls.kvik_give(path.memory, path.length);
    if (store === 0) {
      this.#finish(new DataView(this.#calls.memory.buffer).getUint32(this.#scratch, true), decode);
    }
    return store;
  }

  /** Runs a command. Bytes in the reply are decoded as text; an error is thrown. */
  run(...words) {
    return this.#run(words, decode);
  }

  /** The same, with bytes as a Uint8Array. */
  bytes(...words) {
    return this.#run(words, (bytes) => bytes);
  }

  /** Waits until everything is in the files. */
  commit() {
    return this.#finish(this.#calls.kvik_commit(this.#store), decode);
  }

  /** Does what is due, such as deleting keys; returns after how many milliseconds to call again. */
  tick() {
    return Number(this.#calls.kvik_tick(this.#store));
  }

  /** Ticks by itself from now on, until the store is closed. */
  keepTicking() {
    this.#timer = setTimeout(() => this.keepTicking(), Math.min(this.tick(), 1000));
  }

  close() {
    clearTimeout(this.#timer);
    this.#calls.kvik_close(this.#store);
    this.#store = 0;
  }

  #run(words, read) {
    const { memory, length, lengths, count } = this.#place(words);
    const reply = this.#calls.kvik_run(this.#store, count, memory, lengths);
    this.#calls.kvik_give(memory, length);
    return this.#finish(reply, read);
  }

  /** Writes words into the module: pointers to them, their lengths, and then their bytes. */
  #place(words) {
    const each = words.map((it) => (it instanceof Uint8Array ? it : encoder.encode(String(it))));
    const table = 4 * each.length;
    const length = each.reduce((sum, bytes) => sum + bytes.length, 2 * table);
    const memory = this.#calls.kvik_take(length);
    if (memory === 0) throw new RangeError("no memory is left");
    const view = new DataView(this.#calls.memory.buffer, memory, length);
    const room = new Uint8Array(this.#calls.memory.buffer, memory, length);
    let at = 2 * table;
    each.forEach((bytes, index) => {
      view.setUint32(4 * index, memory + at, true);
      view.setUint32(table + 4 * index, bytes.length, true);
      room.set(bytes, at);
      at += bytes.length;
    });
    return { memory, length, first: memory + 2 * table, lengths: memory + table, count: each.length };
  }

  /** Makes a value of a reply, and frees it. */
  #finish(reply, read) {
    const value = this.#value(reply, read);
    this.#calls.kvik_reply_free(reply);
    if (value instanceof KvikError) throw value;
    return value;
  }

  #value(reply, read) {
    const calls = this.#calls;
    switch (calls.kvik_reply_type(reply)) {
      case NIL:
        return null;
      case ERROR:
        return new KvikError(decode(this.#text(reply)));
      case INTEGER: {
        const number = calls.kvik_reply_integer(reply);
        return Number.isSafeInteger(Number(number)) ? Number(number) : number;
      }
      case BYTES:
        return read(this.#text(reply));
      case DOUBLE:
        return calls.kvik_reply_double(reply);
      case BOOLEAN:
        return calls.kvik_reply_integer(reply) !== 0n;
      case MAP: {
        const parts = this.#parts(reply, read);
        return new Map(parts.flatMap((name, at) => (at % 2 ? [] : [[name, parts[at + 1]]])));
      }
      case SET:
        return new Set(this.#parts(reply, read));
      default: {
        const bytes = calls.kvik_reply_bytes(reply, this.#scratch);
        return bytes === 0 ? this.#parts(reply, read) : decode(this.#text(reply));
      }
    }
  }

  #parts(reply, read) {
    const part = (_, index) => this.#value(this.#calls.kvik_reply_part(reply, index), read);
    return Array.from({ length: this.#calls.kvik_reply_count(reply) }, part);
  }

  /** A copy of the bytes of a reply. */
  #text(reply) {
    const start = this.#calls.kvik_reply_bytes(reply, this.#scratch);
    const { buffer } = this.#calls.memory;
    const length = new DataView(buffer).getUint32(this.#scratch, true);
    return new Uint8Array(buffer).slice(start, start + length);
  }
}

function decode(bytes) {
  return decoder.decode(bytes);
}
