// The alert sound: two short tones, off until switched on in this browser.

const KEY = "maskwatch-sound";
const TONES_HZ = [880, 660];
const TONE_SECONDS = 0.18;
const LOUDNESS = 0.25;
const QUIET_SECONDS = 2;

const button = document.getElementById("sound");
let isOn = remembered();
let context = null;
let soundedAt = -Infinity;

function remembered() {
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

function allow() {
  context ??= new AudioContext();
  context.resume();
}

button.addEventListener("click", () => {
  isOn = !isOn;
  try {
    localStorage.setItem(KEY, isOn ? "on" : "off");
  } catch {
    // See remembered().
  }
  show();
  // Play a sample.
  if (isOn) sound();
});

// Browsers allow audio only after a click or key press on the page.
for (const touched of ["pointerdown", "keydown"]) {
  document.addEventListener(touched, () => isOn && allow(), { once: true });
}

/** Play the sound for a new alert if it is on; once for several that arrive together. */
export function sound() {
  const at = performance.now() / 1000;
  if (!isOn || at - soundedAt < QUIET_SECONDS) return;
  soundedAt = at;
  allow();
  TONES_HZ.forEach((pitch, number) => {
    const tone = context.createOscillator();
    const loudness = context.createGain();
    const begin = context.currentTime + number * TONE_SECONDS;
    tone.frequency.value = pitch;
    // Fade in and out, without audible clicks.
    loudness.gain.setValueAtTime(0, begin);
    loudness.gain.linearRampToValueAtTime(LOUDNESS, begin + 0.02);
    loudness.gain.linearRampToValueAtTime(0, begin + TONE_SECONDS);
    tone.connect(loudness).connect(context.destination);
    tone.start(begin);
    tone.stop(begin + TONE_SECONDS);
  });
}

show();
