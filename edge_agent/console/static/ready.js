// Buttons that need the page's script are disabled until it has run: a click on one of them before that would be lost,
// and the browser would send a form as a plain request.

/** Enable them, once all handlers are in place. */
export function enableButtons() {
  for (const button of document.querySelectorAll("[data-needs-script]")) button.disabled = false;
}
