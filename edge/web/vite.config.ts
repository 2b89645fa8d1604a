import { defineConfig } from "vite";

/** The page is served by the edge beside its API, so addresses are relative and nothing is
 * inlined: the edge's content policy allows neither inline scripts nor inline styles. */
export default defineConfig({
  base: "./",
  build: {
    outDir: "../static",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
