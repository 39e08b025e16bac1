// For work on the page: serves web/ from the disk, so that a change shows without a build, and
// passes everything else on to the service at CAMLENS_URL.
//
// CAMLENS_URL=http://127.0.0.1:8080 PORT=8098 node dev/proxy.mjs

import { createServer, request as requestTo } from "node:http";
import { pageFile } from "../stub/files.mjs";

const upstream = new URL(process.env.CAMLENS_URL ?? "http://127.0.0.1:8080");

createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://proxy");
  const file = request.method === "GET" ? pageFile(pathname) : null;
  if (file) {
    const csp = "default-src 'self'; img-src 'self' blob: data:";
    response.writeHead(200, { "content-type": file.type, "content-security-policy": csp });
    response.end(file.body);
    return;
  }
  const options = {
    host: upstream.hostname, port: upstream.port, path: request.url, method: request.method,
    headers: request.headers,
  };
  const passed = requestTo(options, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  passed.on("error", () => response.writeHead(502).end());
  response.on("close", () => passed.destroy());
  request.pipe(passed);
}).listen(Number(process.env.PORT ?? 8098), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${process.env.PORT ?? 8098} for ${upstream.origin}`);
});
