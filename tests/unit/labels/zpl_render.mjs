// Renders ZPL files to PNG with zpl-renderer-js (zebrash in WebAssembly, no network):
//   node zpl_render.mjs MODULES_FOLDER JOBS.json
// JOBS.json is a list of {zpl, png, width_mm, height_mm, dots_per_mm}; one process serves them all,
// because starting the renderer takes longer than a label does.
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const [modules, jobsFile] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(modules), "resolve.js"));
const { ready } = require("zpl-renderer-js");
const { api } = await ready;
for (const job of JSON.parse(fs.readFileSync(jobsFile, "utf8"))) {
  const zpl = fs.readFileSync(job.zpl, "utf8");
  const png = await api.zplToBase64Async(zpl, job.width_mm, job.height_mm, job.dots_per_mm);
  fs.writeFileSync(job.png, Buffer.from(png, "base64"));
}
process.exit(0);
