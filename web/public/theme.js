// Before the first paint, and a file of its own: the policy of the pages allows no script in the page.
try {
  var theme = localStorage.getItem('cib.theme');
  if (theme === '"dark"' || theme === '"light"') document.documentElement.dataset.theme = JSON.parse(theme);
} catch {
  // Storage may be forbidden; the system's own theme is right then.
}
