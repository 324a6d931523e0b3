// The prebuilt JupyterLab extension: one script that takes JupyterLab's own packages from the page, and what
// JupyterLab and `jupyter labextension list` read of it. Webpack or rspack would bring 450 MB for the same.
import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const NAME = "szal-nb";
const SHARED = /^@(jupyterlab|lumino)\//;
// What `jupyter labextension list` compares with the JupyterLab that is installed: 4.4 and all later ones of 4.
const FITS = {
  "@jupyterlab/application": "^4.4.0",
  "@jupyterlab/apputils": "^4.5.0",
  "@jupyterlab/coreutils": "^6.4.0",
  "@jupyterlab/mainmenu": "^4.4.0",
  "@jupyterlab/notebook": "^4.4.0",
  "@jupyterlab/services": "^7.4.0",
  "@jupyterlab/ui-components": "^4.4.0",
};

const fromPage = {
  name: "packages-of-the-page",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: SHARED }, ({ path }) => ({ path, namespace: "page" }));
    onLoad({ filter: /.*/, namespace: "page" }, ({ path }) => ({
      contents: `module.exports = szalShared[${JSON.stringify(path)}];`,
    }));
  },
};

// Module federation by hand: https://webpack.js.org/concepts/module-federation/ says what a container is.
const container = (code, packages) => `(() => {
let scope;
const parts = (version) => version.split(".").map((part) => parseInt(part) || 0);
const newer = (a, b) => { const [x, y] = [parts(a), parts(b)]; return y[0] - x[0] || y[1] - x[1] || y[2] - x[2]; };
const load = async () => {
  const szalShared = {};
  for (const name of ${JSON.stringify(packages)}) {
    const offered = scope[name];
    if (!offered) throw new Error("szal-nb: this JupyterLab does not share " + name);
    szalShared[name] = (await offered[Object.keys(offered).sort(newer)[0]].get())();
  }
  ${code}
  return szalPlugin;
};
(window._JUPYTERLAB ??= {})[${JSON.stringify(NAME)}] = {
  init: (shared) => { scope = shared; },
  get: async (name) => {
    if (name !== "./extension") throw new Error("szal-nb has no " + name);
    const plugin = await load();
    return () => plugin;
  },
};
})();
`;

export async function buildLabextension(options, folder) {
  const { version, description, license } = JSON.parse(await readFile("package.json", "utf8"));
  const built = await build({
    ...options,
    format: "iife",
    globalName: "szalPlugin",
    entryPoints: ["src/plugin/index.ts"],
    outfile: "remoteEntry.js",
    plugins: [...options.plugins, fromPage],
    metafile: true,
    write: false,
  });
  const packages = Object.keys(built.metafile.inputs)
    .filter((path) => path.startsWith("page:"))
    .map((path) => path.slice("page:".length))
    .sort();
  const code = container(built.outputFiles[0].text, packages);
  const entry = `static/remoteEntry.${createHash("sha256").update(code).digest("hex").slice(0, 20)}.js`;
  await rm(folder, { recursive: true, force: true });
  await mkdir(`${folder}/static`, { recursive: true });
  const files = {
    [entry]: code,
    "package.json": json({
      name: NAME,
      version,
      description,
      license,
      keywords: ["jupyter", "jupyterlab", "jupyterlab-extension"],
      dependencies: FITS,
      jupyterlab: { extension: true, _build: { load: entry, extension: "./extension" } },
    }),
    "install.json": json({
      packageManager: "python",
      packageName: NAME,
      uninstallInstructions: "pip uninstall szal-nb",
    }),
  };
  for (const [path, text] of Object.entries(files)) await writeFile(`${folder}/${path}`, text);
}

const json = (value) => `${JSON.stringify(value, null, 2)}\n`;
