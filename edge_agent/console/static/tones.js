// Short tones, one after the other.

const TONE_SECONDS = 0.17;
const FADE_SECONDS = 0.03;
const LOUDNESS = 0.25;

let context = null;

/** Browsers allow audio only after a click or key press on the page: call this then. */
export function allowAudio() {
  context ??= new AudioContext();
  context.resume();
}

export function playTones(frequenciesHz) {
  allowAudio();
  frequenciesHz.forEach((frequency, number) => {
    const begin = context.currentTime + number * TONE_SECONDS;
    const tone = context.createOscillator();
    const volume = context.createGain();
    tone.frequency.value = frequency;
    // Fade in and out: an abrupt start or end is audible as a click.
    volume.gain.setValueAtTime(0, begin);
    volume.gain.linearRampToValueAtTime(LOUDNESS, begin + FADE_SECONDS);
    volume.gain.linearRampToValueAtTime(0, begin + TONE_SECONDS);
    tone.connect(volume).connect(context.destination);
    tone.start(begin);
    tone.stop(begin + TONE_SECONDS);
  });
}
