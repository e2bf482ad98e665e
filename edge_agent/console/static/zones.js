// Exclusion zones: turns polygons drawn over a camera's picture into lines for config.yaml. The device stores nothing.

import { urlOf } from "./url.js";
import { request, element } from "./api.js";
import { enableButtons } from "./ready.js";

const AGAIN_MS = 1000;
const AWAY_MS = 5000;
const STEP = 0.01;
const LARGE_STEP = 0.05;
const LEAST_CORNERS = 3;
// Three decimals are finer than anyone draws.
const DIGITS = 3;
const LEAST_AREA = 1e-4;
const NEW = [[0.35, 0.35], [0.65, 0.35], [0.65, 0.65], [0.35, 0.65]];
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const NO_BARE_KEY = /^(?![A-Za-z][A-Za-z0-9_-]*$)|^(y|n|yes|no|on|off|true|false|null)$/i;

const page = document.querySelector("[data-zones]");
const { camera } = page.dataset;
const byId = (id) => document.getElementById(id);
const picture = byId("picture");
const zones = JSON.parse(page.dataset.zones);
let chosen = zones.length - 1;

function showStatus(text) {
  byId("status").textContent = text;
}

function rounded(share) {
  return Number(Math.min(Math.max(share, 0), 1).toFixed(DIGITS));
}

/** The area of a polygon as a share of the picture; 0 if all corners lie on one line. */
function area(zone) {
  const sum = zone.reduce((total, [x, y], index) => {
    const [nextX, nextY] = zone[(index + 1) % zone.length];
    return total + x * nextY - nextX * y;
  }, 0);
  return Math.abs(sum) / 2;
}

function lines() {
  const key = NO_BARE_KEY.test(camera) ? JSON.stringify(camera) : camera;
  const head = `cameras:\n  ${key}:\n    rules:\n      exclusion_zones:`;
  if (zones.length === 0) return `${head} []\n`;
  const written = zones.map((zone) => `        - [${zone.map(([x, y]) => `[${x}, ${y}]`).join(", ")}]`);
  return `${head}\n${written.join("\n")}\n`;
}

/** Redraw everything; `focus` is a corner's zone and index. */
function show(focus = null) {
  const shapes = zones.map((zone, number) => {
    const shape = document.createElementNS("http://www.w3.org/2000/svg", "polygon");
    shape.setAttribute("points", zone.map((corner) => corner.join(",")).join(" "));
    shape.classList.toggle("chosen", number === chosen);
    return shape;
  });
  byId("shapes").replaceChildren(...shapes);
  const corners = zones.flatMap((zone, number) => zone.map((_, index) => cornerButton(number, index)));
  byId("corners").replaceChildren(...corners);
  byId("list").replaceChildren(...zones.map((zone, number) => listed(zone, number)));
  byId("none").hidden = zones.length > 0;
  showLines();
  if (focus) byId("corners").querySelector(`[data-corner="${focus.join("-")}"]`)?.focus();
}

function showLines() {
  const flat = zones.findIndex((zone) => area(zone) < LEAST_AREA);
  byId("lines").value = lines();
  showStatus(flat < 0 ? "" : `Zone ${flat + 1} covers nothing: move one of its corners.`);
}

function place(button, number, index) {
  const [x, y] = zones[number][index];
  button.style.left = `${x * 100}%`;
  button.style.top = `${y * 100}%`;
  const where = `${Math.round(x * 100)} % from the left, ${Math.round(y * 100)} % from above`;
  button.setAttribute("aria-label", `Corner ${index + 1} of zone ${number + 1}: ${where}`);
}

function cornerButton(number, index) {
  const button = element("button", number === chosen ? "corner chosen" : "corner");
  button.type = "button";
  button.dataset.corner = `${number}-${index}`;
  place(button, number, index);
  button.addEventListener("keydown", (event) => {
    if (event.key === "Delete" || event.key === "Backspace") removeCorner(number, index);
    const move = MOVES[event.key];
    if (!move) return;
    event.preventDefault();
    const step = event.shiftKey ? LARGE_STEP : STEP;
    const [x, y] = zones[number][index];
    moveCorner(button, number, index, [x + move[0] * step, y + move[1] * step]);
  });
  button.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    button.setPointerCapture(event.pointerId);
    button.focus();
  });
  button.addEventListener("pointermove", (event) => {
    if (button.hasPointerCapture(event.pointerId)) moveCorner(button, number, index, fractions(event));
  });
  button.addEventListener("focus", () => choose(number));
  return button;
}

function moveCorner(button, number, index, [x, y]) {
  zones[number][index] = [rounded(x), rounded(y)];
  place(button, number, index);
  byId("shapes").children[number].setAttribute("points", zones[number].map((corner) => corner.join(",")).join(" "));
  byId("list").children[number].firstElementChild.textContent = described(zones[number], number);
  showLines();
}

function removeCorner(number, index) {
  if (zones[number].length === LEAST_CORNERS) {
    showStatus(`A zone needs at least ${LEAST_CORNERS} corners; remove the whole zone in the list.`);
    return;
  }
  zones[number].splice(index, 1);
  show([number, Math.max(index - 1, 0)]);
}

function described(zone, number) {
  return `Zone ${number + 1}: ${zone.length} corners, ${Math.round(area(zone) * 100)} %`;
}

function listed(zone, number) {
  const item = element("li");
  const name = element("button", "button quiet", described(zone, number));
  name.type = "button";
  name.setAttribute("aria-pressed", String(number === chosen));
  name.addEventListener("click", () => {
    choose(number);
    byId("list").children[number].querySelector("button").focus();
  });
  const remove = element("button", "button danger", "Remove");
  remove.type = "button";
  remove.setAttribute("aria-label", `Remove zone ${number + 1}`);
  remove.addEventListener("click", () => {
    zones.splice(number, 1);
    chosen = zones.length - 1;
    show();
    byId("add").focus();
  });
  item.append(name, remove);
  return item;
}

/** Select the zone to which taps add corners. No element is recreated, since one may have the focus. */
function choose(number) {
  chosen = number;
  [...byId("shapes").children].forEach((shape, at) => shape.classList.toggle("chosen", at === number));
  for (const corner of byId("corners").children) corner.classList.toggle("chosen", corner.dataset.corner.startsWith(`${number}-`));
  [...byId("list").children].forEach((item, at) => item.firstElementChild.setAttribute("aria-pressed", String(at === number)));
}

/** The position of an event, as fractions of the picture. */
function fractions({ clientX, clientY }) {
  const { left, top, width, height } = picture.getBoundingClientRect();
  return [(clientX - left) / width, (clientY - top) / height];
}

/** The distance of a point from the segment between two others. */
function distance([x, y], [x1, y1], [x2, y2]) {
  const length = (x2 - x1) ** 2 + (y2 - y1) ** 2;
  const along = length ? Math.min(Math.max(((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length, 0), 1) : 0;
  return Math.hypot(x - x1 - along * (x2 - x1), y - y1 - along * (y2 - y1));
}

picture.addEventListener("click", (event) => {
  if (event.target.closest(".corner")) return;
  if (chosen < 0) addZone();
  else {
    const point = fractions(event).map(rounded);
    const zone = zones[chosen];
    const sides = zone.map((corner, index) => distance(point, corner, zone[(index + 1) % zone.length]));
    const after = sides.indexOf(Math.min(...sides)) + 1;
    zone.splice(after, 0, point);
    show([chosen, after]);
  }
});

function addZone() {
  zones.push(NEW.map((corner) => [...corner]));
  chosen = zones.length - 1;
  show([chosen, 0]);
}

byId("add").addEventListener("click", addZone);

byId("copy").addEventListener("click", async () => {
  byId("lines").select();
  try {
    await navigator.clipboard.writeText(byId("lines").value);
    showStatus("Copied.");
  } catch {
    // Browsers offer no clipboard over plain HTTP.
    showStatus("The lines are selected: copy them with Ctrl+C.");
  }
});

byId("reload").addEventListener("click", async () => {
  try {
    await request("POST", "/api/v1/commands/reload", {});
    showStatus("The agent has reloaded its configuration.");
  } catch (error) {
    showStatus(error.message);
  }
});

const frame = byId("frame");
function requestFrame() {
  if (document.hidden) setTimeout(requestFrame, AGAIN_MS);
  else frame.src = `${urlOf(`/api/v1/cameras/${encodeURIComponent(camera)}/frame.jpg`)}?at=${Date.now()}`;
}
frame.addEventListener("load", () => {
  frame.hidden = false;
  byId("away").hidden = true;
  setTimeout(requestFrame, AGAIN_MS);
});
frame.addEventListener("error", () => {
  frame.hidden = true;
  byId("away").hidden = false;
  byId("away").textContent = "The camera delivers no pictures, or is paused";
  setTimeout(requestFrame, AWAY_MS);
});

show();
requestFrame();
enableButtons();
