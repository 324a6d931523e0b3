import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { environment: "jsdom", include: ["test/**/*.test.ts"], setupFiles: ["test/setup.ts"], css: { include: [] } },
  plugins: [
    {
      // As the build has it: a style sheet is a text.
      name: "css-as-text",
      enforce: "pre",
      transform: (code: string, id: string) =>
        id.endsWith(".css") ? { code: `export default ${JSON.stringify(code)};`, map: null } : null,
    },
  ],
});
