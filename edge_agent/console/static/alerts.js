// The gallery: filters apply at once, several alerts can be reviewed together, and new ones are announced.

import { request } from "./api.js";
import { ReconnectingSocket } from "./socket.js";
import { retryMissing } from "./pictures.js";
import { announceAlert } from "./tab.js";
import { enableButtons } from "./ready.js";

const filter = document.getElementById("filter");
filter?.addEventListener("change", ({ target }) => {
  // A date is typed in parts, so it is submitted only by the button or Enter.
  if (!target.type.startsWith("date")) filter.requestSubmit();
});
filter?.addEventListener("formdata", ({ formData }) => {
  for (const [name, value] of [...formData]) if (!value) formData.delete(name);
});
function isChanged({ options, selectedIndex }) {
  const initial = [...options].find(({ defaultSelected }) => defaultSelected) ?? options[0];
  return options[selectedIndex] !== initial;
}
// Chosen before this script ran.
if ([...(filter?.querySelectorAll("select") ?? [])].some(isChanged)) filter.requestSubmit();

const many = document.getElementById("review-many");
const boxes = [...document.querySelectorAll("[data-choose]")];
const save = many?.querySelector("button:not([type])");

function showChosen() {
  const chosen = boxes.filter(({ checked }) => checked).length;
  save.disabled = chosen === 0;
  document.getElementById("chosen-count").textContent = chosen || "";
}
for (const box of boxes) box.addEventListener("change", showChosen);
if (many) showChosen();
document.getElementById("choose-all")?.addEventListener("click", () => {
  const isToChoose = boxes.some(({ checked }) => !checked);
  for (const box of boxes) box.checked = isToChoose;
  showChosen();
});
many?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const review = new FormData(many).get("review");
  save.disabled = true;
  try {
    // One at a time: if a request fails, the reviews before it stay saved.
    for (const box of boxes.filter(({ checked }) => checked)) {
      await request("PUT", `/api/v1/alerts/${box.dataset.choose}/review`, { review });
      box.checked = false;
    }
    location.reload();
  } catch (error) {
    showChosen();
    document.getElementById("review-many-message").textContent = error.message;
  }
});

let count = 0;
const socket = new ReconnectingSocket("/live", { staysOpen: true });
socket.addEventListener("open", () => {
  socket.send({ watch: [] });
  retryMissing();
});
socket.addEventListener("message", ({ detail }) => {
  const filters = new URLSearchParams(location.search);
  const fits = ({ camera, label }) =>
    (filters.get("camera") || camera) === camera && (filters.get("label") || label) === label;
  if (!detail.alert || !fits(detail.alert)) return;
  count += 1;
  announceAlert();
  document.getElementById("new-alerts").hidden = false;
  document.getElementById("new-alerts-message").textContent = count === 1 ? "A new alert has arrived." : `${count} new alerts have arrived.`;
});
socket.open();
enableButtons();
