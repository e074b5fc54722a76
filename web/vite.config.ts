import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

// A box to develop against: its address, as CIB_DEV_BOX.
const box = process.env['CIB_DEV_BOX'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: 'es2022',
    // Style and script are files, never inline: the policy of the pages allows nothing else.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    cssCodeSplit: true,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 600,
    rolldownOptions: {
      output: {
        codeSplitting: {
          // What every page needs comes as one file and not as ten.
          groups: [
            {
              name: 'app',
              test: /src\/parts\/(Icon|StateBadge|Banner|Dialog|Mark|Spent)\.svelte|src\/(api|lib)\/(?!words\/zh|words\/parts|words\/tasks|attach|highlight|diff|files|hooks|models|patch|pump|push|scopes|terminal-keys|news|notify|search|journal|marks|qr|touched)|node_modules\/(svelte|esm-env|clsx|marked|openapi-fetch)\//,
            },
          ],
        },
      },
    },
  },
  server: { proxy: { '/api': { target: box, ws: true } } },
});
