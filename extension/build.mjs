// Builds the bundles that ship in the Python package. The same input gives the same bytes.
import { build } from "esbuild";

const shared = {
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  loader: { ".css": "text" },
  logLevel: "info",
};

await build({ ...shared, entryPoints: ["src/widget.ts"], outfile: "../szal_nb/widget/static/dag.js" });
await build({ ...shared, format: "iife", entryPoints: ["src/report.ts"], outfile: "../szal_nb/widget/static/report.js" });
