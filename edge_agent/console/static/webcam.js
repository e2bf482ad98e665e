// The webcam page: sends frames of the visitor's camera, a picture or a recording to the device one at a time, and
// draws the faces that it returns.

import { element, percent, WORDS } from "./api.js";
import { ReconnectingSocket } from "./socket.js";
import { enableButtons } from "./ready.js";

const LONGEST_SIDE_PX = 640;
const JPEG_QUALITY = 0.85;
const SECOND_MS = 1000;
// Shortest interval between two announcements to screen readers.
const ANNOUNCE_EVERY_MS = 4000;
// Boxes later than this would no longer match a moving person, so they are shown on the frame they belong to.
const LATE_MS = 150;
const COLOURS = { with_mask: "#1e8cc8", without_mask: "#f06e00", mask_worn_incorrectly: "#963cbe" };

const byId = (name) => document.getElementById(name);
const stage = byId("stage");
const video = byId("video");
const still = byId("still");
const boxes = byId("boxes");
const small = document.createElement("canvas");
const socket = new ReconnectingSocket("/webcam", { onlyAnswers: true });

/** The source: null, a <video> (`isMoving`), or a picture on the canvas. */
let source = null;
let isMoving = false;
let stream = null;
let sentAt = 0;
let isWaiting = false;
let resultTimes = [];
let announcedAt = -ANNOUNCE_EVERY_MS;

byId("open").addEventListener("click", openCamera);
byId("choose").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", ({ target }) => {
  if (target.files.length > 0) openFile(target.files[0]);
  target.value = "";
});
byId("stop").addEventListener("click", () => {
  stop();
  byId("open").focus();
});

for (const kind of ["dragenter", "dragover"])
  stage.addEventListener(kind, (event) => {
    event.preventDefault();
    stage.classList.add("over");
  });
for (const kind of ["dragleave", "drop"]) stage.addEventListener(kind, () => stage.classList.remove("over"));
stage.addEventListener("drop", (event) => {
  event.preventDefault();
  const [file] = event.dataTransfer.files;
  if (file) openFile(file);
});
// A file dropped outside the stage must not replace the page.
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());
document.addEventListener("paste", ({ clipboardData }) => {
  const [file] = clipboardData.files;
  if (file) openFile(file);
});

socket.addEventListener("open", sendFrame);
socket.addEventListener("lost", () => (isWaiting = false));
socket.addEventListener("message", ({ detail }) => {
  isWaiting = false;
  if (!source) return;
  if (detail.error) {
    showTrouble("The device cannot analyse this.", detail.error);
    if (isMoving) setTimeout(sendFrame, SECOND_MS);
    return;
  }
  showTrouble();
  showResult(detail);
  if (isMoving) sendFrame();
});

async function openCamera() {
  stop();
  if (!navigator.mediaDevices?.getUserMedia) {
    showTrouble(
      "This browser does not give this page access to a camera.",
      "Browsers do so only over https, or on the device itself (http://127.0.0.1). Set console.cert_file and key_file, or use a tunnel: ssh -L 8080:127.0.0.1:8080 DEVICE. Pictures and videos can be analysed anyway.",
    );
    return;
  }
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, facingMode: "user" }, audio: false });
  } catch (error) {
    const isDenied = error.name === "NotAllowedError" || error.name === "SecurityError";
    const head = isDenied ? "Access to the camera was denied." : "No camera could be opened.";
    const what = isDenied
      ? "Allow it next to the address of this page, and try again."
      : "Connect a camera, or close the program that uses it, and try again.";
    showTrouble(head, `${what} A picture or a video works all the same.`);
    return;
  }
  for (const track of stream.getTracks()) track.addEventListener("ended", stop);
  video.srcObject = stream;
  byId("open").hidden = true;
  await play("Your camera");
  byId("stop").focus();
}

async function openFile(file) {
  stop();
  if (file.type.startsWith("video/")) {
    video.src = URL.createObjectURL(file);
    video.loop = true;
    play(`The recording ${file.name}`);
    return;
  }
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    showTrouble("This browser cannot open this file as a picture.", "Use a JPEG, PNG, WebP or BMP.");
    return;
  }
  still.width = picture.width;
  still.height = picture.height;
  still.getContext("2d").drawImage(picture, 0, 0);
  picture.close();
  still.hidden = false;
  still.setAttribute("aria-label", `The picture ${file.name}`);
  begin(still, false);
}

async function play(name) {
  try {
    await video.play();
  } catch {
    showTrouble("This recording cannot be played.", "This browser does not know its format. Use an MP4 with H.264, or a WebM.");
    return;
  }
  video.hidden = false;
  video.setAttribute("aria-label", name);
  begin(video, true);
}

function begin(what, moves) {
  showTrouble();
  source = what;
  isMoving = moves;
  resultTimes = [];
  byId("stage-message").hidden = true;
  byId("stop").hidden = false;
  const [width, height] = sizeOf(what);
  stage.style.aspectRatio = `${width} / ${height}`;
  socket.isOpen ? sendFrame() : socket.open();
}

function stop() {
  source = null;
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  video.pause();
  video.srcObject = null;
  if (video.src) {
    URL.revokeObjectURL(video.src);
    video.removeAttribute("src");
    video.load();
  }
  socket.close();
  isWaiting = false;
  video.hidden = still.hidden = byId("stop").hidden = true;
  byId("open").hidden = false;
  byId("stage-message").hidden = false;
  boxes.getContext("2d").clearRect(0, 0, boxes.width, boxes.height);
  delete boxes.dataset.faces;
  byId("found").replaceChildren(element("li", "soft", "nothing analysed yet"));
  byId("found-count").textContent = "–";
  for (const name of ["rate", "trip", "faces", "masks", "size"]) byId(`pace-${name}`).textContent = "–";
}

/** Send the current frame, unless a response is pending. */
async function sendFrame() {
  if (!source || isWaiting || !socket.isOpen) return;
  isWaiting = true;
  const [width, height] = sizeOf(source);
  const factor = Math.min(1, LONGEST_SIDE_PX / Math.max(width, height));
  small.width = Math.max(1, Math.round(width * factor));
  small.height = Math.max(1, Math.round(height * factor));
  small.getContext("2d", { willReadFrequently: true }).drawImage(source, 0, 0, small.width, small.height);
  const jpeg = await new Promise((done) => small.toBlob(done, "image/jpeg", JPEG_QUALITY));
  if (!source || !jpeg) {
    isWaiting = false;
    return;
  }
  byId("pace-size").textContent = `${small.width}×${small.height}, ${Math.round(jpeg.size / 1000)} kB`;
  sentAt = performance.now();
  socket.send(jpeg);
}

function showResult(result) {
  const now = performance.now();
  resultTimes = [...resultTimes.filter((at) => now - at < 3 * SECOND_MS), now];
  const spanSeconds = (now - resultTimes[0]) / SECOND_MS;
  byId("pace-rate").textContent = isMoving && spanSeconds > 0 ? `${((resultTimes.length - 1) / spanSeconds).toFixed(1)} a second` : "–";
  const tripMs = now - sentAt;
  byId("pace-trip").textContent = `${Math.round(tripMs)} ms`;
  byId("pace-faces").textContent = `${result.elapsed_ms.faces.toFixed(1)} ms`;
  byId("pace-masks").textContent = `${result.elapsed_ms.masks.toFixed(1)} ms`;
  draw(result, isMoving && tripMs > LATE_MS);
  list(result.faces);
}

/** Draw the boxes on a separate canvas, in screen pixels, over the letterboxed picture. */
function draw({ faces, width, height }, isLate) {
  const ratio = window.devicePixelRatio;
  boxes.width = Math.round(stage.clientWidth * ratio);
  boxes.height = Math.round(stage.clientHeight * ratio);
  const drawing = boxes.getContext("2d");
  const scale = Math.min(boxes.width / width, boxes.height / height);
  const left = (boxes.width - width * scale) / 2;
  const top = (boxes.height - height * scale) / 2;
  // The small canvas still holds the frame sent last.
  if (isLate) drawing.drawImage(small, left, top, width * scale, height * scale);
  drawing.lineWidth = 2.5 * ratio;
  drawing.font = `600 ${14 * ratio}px system-ui, sans-serif`;
  drawing.textBaseline = "middle";
  for (const { box, label, label_score: score } of faces) {
    const [x1, y1, x2, y2] = box.map((side) => side * scale);
    const text = `${WORDS[label]} ${percent(score)}`;
    const tall = 22 * ratio;
    const wide = drawing.measureText(text).width + 12 * ratio;
    const y = top + y1 >= tall ? top + y1 - tall : top + y2;
    const x = Math.min(left + x1, boxes.width - wide);
    drawing.strokeStyle = drawing.fillStyle = COLOURS[label];
    drawing.strokeRect(left + x1, top + y1, x2 - x1, y2 - y1);
    drawing.fillRect(x - drawing.lineWidth / 2, y, wide, tall);
    drawing.fillStyle = "#ffffff";
    drawing.fillText(text, x + 5 * ratio, y + tall / 2);
  }
  boxes.dataset.faces = faces.length;
}

function list(faces) {
  byId("found-count").textContent = faces.length;
  byId("found").replaceChildren(
    ...(faces.length === 0
      ? [element("li", "soft", "no face found")]
      : faces.map(({ box: [x1, y1, x2, y2], face_score: faceScore, label, label_score: score }) => {
          const item = element("li");
          const row = element("div", "row");
          row.append(element("span", `badge ${label}`, `${WORDS[label]} ${percent(score)}`));
          row.append(element("span", "soft small", `${Math.round(x2 - x1)}×${Math.round(y2 - y1)} px, face ${percent(faceScore)}`));
          item.append(row);
          return item;
        })),
  );
  const now = performance.now();
  if (now - announcedAt < ANNOUNCE_EVERY_MS) return;
  announcedAt = now;
  const text = faces.map(({ label }) => WORDS[label]).join(", ") || "no face found";
  if (byId("found-message").textContent !== text) byId("found-message").textContent = text;
}

function sizeOf(what) {
  return what === video ? [video.videoWidth, video.videoHeight] : [what.width, what.height];
}

function showTrouble(head = "", text = "") {
  byId("problem").hidden = !head;
  byId("problem-head").textContent = head;
  byId("problem-message").textContent = text;
}

enableButtons();
