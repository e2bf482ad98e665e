// A picture that does not come is left out, rather than shown as broken, until it is asked for again.

const missing = new Set();

function leaveOut(picture) {
  missing.add(picture);
  picture.hidden = true;
}

/** Ask again for what has not come: the device may be back. */
export function askAgain() {
  for (const picture of missing) {
    picture.hidden = false;
    picture.src = picture.src;
  }
  missing.clear();
}

// Errors of pictures do not bubble up; they are caught on the way down.
document.addEventListener("error", ({ target }) => target instanceof HTMLImageElement && leaveOut(target), true);
for (const picture of document.images) if (picture.complete && picture.naturalWidth === 0 && picture.src) leaveOut(picture);
