// The browser tab: its title counts the alerts that arrived while the page was hidden, and a sound announces them.

import { playAlertSound } from "./sound.js";

const title = document.title;
let count = 0;

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  count = 0;
  document.title = title;
});

/** Announce a new alert: by sound if that is on, and in the title while the page is hidden. */
export function announceAlert() {
  playAlertSound();
  if (!document.hidden) return;
  count += 1;
  document.title = `(${count}) ${title}`;
}
