// The tab: how many alerts have come in while the page was hidden stands before its title.

const title = document.title;
let count = 0;

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  count = 0;
  document.title = title;
});

/** Count an alert that comes in while the page is hidden. */
export function countAlert() {
  if (!document.hidden) return;
  count += 1;
  document.title = `(${count}) ${title}`;
}
