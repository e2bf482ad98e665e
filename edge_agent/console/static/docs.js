// The page of the API: an operation that is named in the address is open, and what only reads can be asked right here.

const LONGEST_SHOWN = 4000;

function openNamed() {
  const named = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named) named.open = true;
}
window.addEventListener("hashchange", openNamed);
openNamed();

for (const button of document.querySelectorAll("[data-try]")) {
  button.addEventListener("click", async () => {
    const box = button.nextElementSibling;
    box.hidden = false;
    try {
      const answer = await fetch(button.dataset.try, { headers: { Accept: "application/json" } });
      const text = await answer.text();
      const isJson = answer.headers.get("Content-Type")?.startsWith("application/json");
      const shown = isJson ? JSON.stringify(JSON.parse(text), null, 2) : text;
      box.firstElementChild.textContent = `${answer.status}\n${shown.slice(0, LONGEST_SHOWN)}${shown.length > LONGEST_SHOWN ? "\n…" : ""}`;
    } catch {
      box.firstElementChild.textContent = "The device does not answer.";
    }
  });
}
