import { defineConfig } from "vite";

/** The page is served by the edge beside its API; one page serves several addresses, so those of
 * its parts are absolute. Nothing is inlined: the edge's content policy allows neither inline
 * scripts nor inline styles. */
export default defineConfig({
  base: "/",
  build: {
    outDir: "../static",
    emptyOutDir: true,
    target: "es2022",
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
