// Builds the bundles that ship in the Python package. The same input gives the same bytes.
import { readFile } from "node:fs/promises";
import { build, transform } from "esbuild";
import { buildLabextension } from "./labextension.mjs";

const shared = {
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  plugins: [
    {
      // A style sheet travels as a text, without what only its readers need.
      name: "css-as-text",
      setup({ onLoad }) {
        onLoad({ filter: /\.css$/ }, async ({ path }) => {
          const { code } = await transform(await readFile(path, "utf8"), { loader: "css", minify: true });
          return { contents: code, loader: "text" };
        });
      },
    },
  ],
  logLevel: "info",
};

await build({ ...shared, entryPoints: ["src/widget.ts"], outfile: "../szal_nb/widget/static/dag.js" });
await build({ ...shared, entryPoints: ["src/runs.ts"], outfile: "../szal_nb/widget/static/runs.js" });
await build({
  ...shared,
  format: "iife",
  entryPoints: ["src/report.ts"],
  outfile: "../szal_nb/widget/static/report.js",
});
await buildLabextension(shared, "../szal_nb/labextension");
