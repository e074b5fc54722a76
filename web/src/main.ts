import { mount } from 'svelte';
import App from './App.svelte';
import { auth } from './lib/auth.svelte';
import { i18n } from './lib/i18n.svelte';
import { markStyles } from './lib/styles';
import { load, save } from './lib/storage';
import './styles/base.css';
import './styles/markdown.css';

// Before anything else can read the address.
auth.takeFromAddress();
markStyles();

// A piece of the page that is gone after an update of the box: the page is loaded anew, once. Not
// without a line, which would show the browser's own page instead.
addEventListener('vite:preloadError', (event) => {
  if (!navigator.onLine || Date.now() - load('tab', 'reloaded', 0) < 60_000) return;
  event.preventDefault();
  save('tab', 'reloaded', Date.now());
  location.reload();
});

await i18n.start();
const target = document.getElementById('app');
if (target) mount(App, { target });
