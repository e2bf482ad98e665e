// The alert sound: two short tones, off until switched on in this browser.

import { allowAudio, playTones } from "./tones.js";

const KEY = "maskwatch-sound";
const TONES_HZ = [880, 660];
const QUIET_SECONDS = 2;

const button = document.getElementById("sound");
let isOn = savedSetting();
let soundedAt = -Infinity;

function savedSetting() {
  try {
    return localStorage.getItem(KEY) === "on";
  } catch {
    // Without storage the setting lasts as long as the page.
    return false;
  }
}

function show() {
  button.textContent = `Sound: ${isOn ? "on" : "off"}`;
  button.hidden = !("AudioContext" in window);
}

button.addEventListener("click", () => {
  isOn = !isOn;
  try {
    localStorage.setItem(KEY, isOn ? "on" : "off");
  } catch {
    // See savedSetting().
  }
  show();
  // Play a sample.
  if (isOn) playAlertSound();
});

// Browsers allow audio only after a click or key press on the page.
for (const interaction of ["pointerdown", "keydown"]) {
  document.addEventListener(interaction, () => isOn && allowAudio(), { once: true });
}

/** Play the sound for a new alert if it is on; once for several that arrive together. */
export function playAlertSound() {
  const at = performance.now() / 1000;
  if (!isOn || at - soundedAt < QUIET_SECONDS) return;
  soundedAt = at;
  playTones(TONES_HZ);
}

show();
