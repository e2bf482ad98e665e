// The gallery: a choice filters at once, and new alerts are announced.

import { Line } from "./line.js";
import { askAgain } from "./pictures.js";

const filter = document.getElementById("filter");
filter?.addEventListener("change", ({ target }) => {
  // A date is typed in parts; the button, or Enter, sends it.
  if (target.type !== "date") filter.requestSubmit();
});
filter?.addEventListener("formdata", ({ formData }) => {
  for (const [name, value] of [...formData]) if (!value) formData.delete(name);
});

let count = 0;
const line = new Line("/live");
line.addEventListener("open", () => {
  line.send({ watch: [] });
  askAgain();
});
line.addEventListener("message", ({ detail }) => {
  const asked = new URLSearchParams(location.search);
  const fits = ({ camera, label }) =>
    (asked.get("camera") || camera) === camera && (asked.get("label") || label) === label;
  if (!detail.alert || !fits(detail.alert)) return;
  count += 1;
  document.getElementById("new-alerts").hidden = false;
  document.getElementById("new-alerts-message").textContent = count === 1 ? "A new alert has come in." : `${count} new alerts have come in.`;
});
line.open();
