import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

// The service embeds what lands in build/web; nothing is loaded from anywhere else.
export default defineConfig({
  plugins: [svelte()],
  build: { outDir: '../build/web', emptyOutDir: true, chunkSizeWarningLimit: 900, modulePreload: { polyfill: false } },
  server: { proxy: { '/v1': 'http://127.0.0.1:7878' } },
});
