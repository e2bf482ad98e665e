// The sound: two short tones for a new alert, off until a person switches it on in this browser.

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
    // A browser that keeps nothing: on for as long as the page is open.
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
    // As above.
  }
  show();
  // So that a person hears what will be heard.
  if (isOn) sound();
});

// Browsers let a page sound only after something was clicked or pressed on it.
for (const touched of ["pointerdown", "keydown"]) {
  document.addEventListener(touched, () => isOn && allow(), { once: true });
}

/** Sound for a new alert, if that is wanted; once for several that come together. */
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
    // Without edges, which would click.
    loudness.gain.setValueAtTime(0, begin);
    loudness.gain.linearRampToValueAtTime(LOUDNESS, begin + 0.02);
    loudness.gain.linearRampToValueAtTime(0, begin + TONE_SECONDS);
    tone.connect(loudness).connect(context.destination);
    tone.start(begin);
    tone.stop(begin + TONE_SECONDS);
  });
}

show();
