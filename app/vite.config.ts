import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { VitePWA } from "vite-plugin-pwa";
import { texts } from "./scripts/texts_plugin.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const client = "../clients/typescript/src";

export default defineConfig({
  base: "/app/",
  // The API serves it from here; it is made by make, and never committed.
  build: { outDir: here("../service/page/app"), emptyOutDir: true, target: "es2022" },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  resolve: {
    alias: [
      { find: /^@cymba\/client$/, replacement: here(`${client}/index.ts`) },
      { find: /^@cymba\/client\/offline$/, replacement: here(`${client}/offline/index.ts`) },
      { find: /^@cymba\/client\/offline\/dexie$/, replacement: here(`${client}/offline/dexie.ts`) },
    ],
    dedupe: ["dexie"],
  },
  plugins: [
    texts(here("locale")),
    VitePWA({
      // The person decides when a new version takes over: nothing that they are writing goes.
      registerType: "prompt",
      injectRegister: null,
      workbox: {
        globPatterns: ["**/*.{html,js,css,png,svg}"],
        navigateFallback: "/app/index.html",
        navigateFallbackAllowlist: [/^\/app\//],
        inlineWorkboxRuntime: true,
        cleanupOutdatedCaches: true,
      },
      manifest: {
        id: "/app/",
        name: "Cymba",
        short_name: "Cymba",
        description: "Sessions, symptoms, and what goes together.",
        start_url: "/app/",
        scope: "/app/",
        display: "standalone",
        background_color: "#14181b",
        theme_color: "#14181b",
        categories: ["health", "medical"],
        icons: [
          { src: "icons/icon.svg", sizes: "any", type: "image/svg+xml" },
          { src: "icons/192.png", sizes: "192x192", type: "image/png" },
          { src: "icons/512.png", sizes: "512x512", type: "image/png" },
          { src: "icons/maskable.png", sizes: "512x512", type: "image/png", purpose: "maskable" },
        ],
      },
    }),
  ],
});
