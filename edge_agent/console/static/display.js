// The door display: the sign for the nearest person, and their picture. It has no controls and stores nothing.

import { ReconnectingSocket } from "./socket.js";
import { playTones } from "./tones.js";

const LARGEST_WIDTH_PX = 960;
const TONES_HZ = { compliant: [660, 880], mask_worn_incorrectly: [520, 520], without_mask: [440, 330] };

const { body } = document;
const canvas = document.getElementById("picture");
const words = document.getElementById("words");
const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
const socket = new ReconnectingSocket(body.dataset.socket, { redirectsToLogin: false });

let announced = "";

function textOf(sign) {
  return document.querySelector(`template[data-words="${sign}"]`)?.content.textContent ?? "";
}

function show({ sign, person }) {
  if (body.dataset.sign !== sign) words.textContent = textOf(sign);
  body.dataset.sign = sign;
  if (!person) canvas.hidden = true;
  const current = `${person} ${sign}`;
  if (current !== announced && sign in TONES_HZ) {
    announced = current;
    if (body.dataset.sound === "tone") playTones(TONES_HZ[sign]);
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

function speak(text) {
  const sentence = new SpeechSynthesisUtterance(text);
  sentence.lang = document.documentElement.lang;
  // Stop the sentence for the previous person.
  speechSynthesis.cancel();
  speechSynthesis.speak(sentence);
}

function showTrouble(text) {
  const problem = document.getElementById("problem");
  problem.textContent = text;
  problem.hidden = !text;
}

socket.addEventListener("open", () => {
  showTrouble("");
  socket.send({ token, width_px: Math.min(Math.round(innerWidth * devicePixelRatio), LARGEST_WIDTH_PX) });
});

socket.addEventListener("message", async ({ detail }) => {
  if (!(detail instanceof ArrayBuffer)) return show(detail);
  try {
    await draw(detail);
  } finally {
    // The device sends the next picture only after this message, so a slow screen gets fewer.
    socket.send({ drawn: true });
  }
});

socket.addEventListener("lost", ({ detail }) => {
  show({ sign: "away", person: 0 });
  showTrouble(detail);
});

socket.open();
