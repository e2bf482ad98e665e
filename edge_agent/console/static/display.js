// The door display: the sign for the nearest person, and their picture. It has no controls and stores nothing.

import { Line } from "./line.js";

const LARGEST_WIDTH_PX = 960;
const TONES_HZ = { compliant: [660, 880], mask_worn_incorrectly: [520, 520], without_mask: [440, 330] };
const TONE_SECONDS = 0.16;
const LOUDNESS = 0.2;

const { body } = document;
const canvas = document.getElementById("picture");
const words = document.getElementById("words");
const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
const line = new Line(body.dataset.line, { isForPeople: false });

let heard = "";

function textOf(sign) {
  return document.querySelector(`template[data-words="${sign}"]`)?.content.textContent ?? "";
}

function show({ sign, person }) {
  body.dataset.sign = sign;
  words.textContent = textOf(sign);
  if (!person) canvas.hidden = true;
  const news = `${person} ${sign}`;
  if (news !== heard && sign in TONES_HZ) {
    heard = news;
    if (body.dataset.sound === "tone") sound(TONES_HZ[sign]);
    else if (body.dataset.sound === "speech") speak(textOf(sign));
  }
}

async function draw(jpeg) {
  const picture = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").drawImage(picture, 0, 0);
  picture.close();
  // The person may have left while the picture was decoded.
  canvas.hidden = !textOf(body.dataset.sign);
}

let audio;

function sound(frequencies) {
  audio ??= new AudioContext();
  frequencies.forEach((frequency, number) => {
    const from = audio.currentTime + number * TONE_SECONDS;
    const tone = new OscillatorNode(audio, { frequency });
    const volume = new GainNode(audio, { gain: 0 });
    // Fade in and out: an abrupt start or end is audible as a click.
    volume.gain.setValueAtTime(0, from);
    volume.gain.linearRampToValueAtTime(LOUDNESS, from + TONE_SECONDS / 4);
    volume.gain.linearRampToValueAtTime(0, from + TONE_SECONDS);
    tone.connect(volume).connect(audio.destination);
    tone.start(from);
    tone.stop(from + TONE_SECONDS);
  });
}

function speak(text) {
  const sentence = new SpeechSynthesisUtterance(text);
  sentence.lang = document.documentElement.lang;
  // Stop the sentence for the previous person.
  speechSynthesis.cancel();
  speechSynthesis.speak(sentence);
}

function complain(text) {
  const trouble = document.getElementById("trouble");
  trouble.textContent = text;
  trouble.hidden = !text;
}

line.addEventListener("open", () => {
  complain("");
  line.send({ token, width_px: Math.min(Math.round(innerWidth * devicePixelRatio), LARGEST_WIDTH_PX) });
});

line.addEventListener("message", async ({ detail }) => {
  if (!(detail instanceof ArrayBuffer)) return show(detail);
  try {
    await draw(detail);
  } finally {
    // The device sends the next picture only after this message, so a slow screen gets fewer.
    line.send({ drawn: true });
  }
});

line.addEventListener("lost", ({ detail }) => {
  show({ sign: "away", person: 0 });
  complain(detail);
});

line.open();
