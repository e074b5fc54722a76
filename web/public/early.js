// Before anything else of the page, and a file of its own: the policy of the pages allows no script in
// the page. The colours have to be right at the first paint, and the question who we are can be on
// its way while the rest of the page is.
try {
  var theme = localStorage.getItem('cib.theme');
  if (theme === '"dark"' || theme === '"light"') document.documentElement.dataset.theme = JSON.parse(theme);
  // A token out of the address is exchanged first.
  if (!/token=/.test(location.hash)) {
    var proof = JSON.parse(localStorage.getItem('cib.proof') || '""');
    window.cibGreeting = {
      proof: proof,
      answer: fetch('/api/info', {
        headers: proof ? { 'x-cib-proof': proof } : {},
        credentials: 'same-origin',
        redirect: 'error',
      }),
    };
    window.cibGreeting.answer.catch(function () {});
  }
} catch {
  // Storage may be forbidden; the system's own theme is right then, and the page asks later.
}
