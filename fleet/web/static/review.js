// Review: stores what an alert really shows.

import { request } from "../api.js";

const { alert: id } = document.querySelector("[data-alert]").dataset;
const message = document.getElementById("review-message");

for (const button of document.querySelectorAll("#review [data-review]")) {
  button.addEventListener("click", async () => {
    try {
      await request("PUT", `/api/v1/alerts/${id}/review`, { review: button.dataset.review });
    } catch (error) {
      message.textContent = error.message;
      return;
    }
    document.getElementById("review-state").textContent = button.dataset.review ? button.textContent : "not reviewed";
    message.textContent = button.dataset.review ? "Saved." : "Review removed.";
  });
}
