// The tab: how many alerts have come in while the page was hidden stands before its title, and a sound says so.

import { sound } from "./sound.js";

const title = document.title;
let count = 0;

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  count = 0;
  document.title = title;
});

/** Have a new alert noticed: heard, where that is wanted, and counted while the page is hidden. */
export function announceAlert() {
  sound();
  if (!document.hidden) return;
  count += 1;
  document.title = `(${count}) ${title}`;
}
