// Serves the page and the module for it: node serve.mjs MODULE [PORT]. Prints its address.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";

const [module, port = "8080"] = process.argv.slice(2);
const files = {
  "/": new URL("index.html", import.meta.url),
  "/kvik.js": new URL("kvik.js", import.meta.url),
  "/kvik.wasm": module,
};
const types = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

const server = createServer(async (request, response) => {
  const file = files[request.url];
  if (file === undefined) {
    response.writeHead(404).end();
    return;
  }
  const type = types[extname(file.pathname ?? file)];
  response.writeHead(200, { "content-type": type }).end(await readFile(file));
});
server.listen(Number(port), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/`);
});
