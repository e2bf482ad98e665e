// A picture that does not come is left out, rather than shown as broken, until it is asked for again.

const FIRST_PAUSE_MS = 2000;
const MOST_TRIES = 4;

const missing = new Map();

function leaveOut(picture) {
  const tries = Number(picture.dataset.tries ?? 0) + 1;
  picture.dataset.tries = tries;
  picture.hidden = true;
  // The device may have had too much to do; one that is gone altogether says so when it is back.
  const again = tries < MOST_TRIES ? setTimeout(() => ask(picture), FIRST_PAUSE_MS * 2 ** (tries - 1)) : 0;
  missing.set(picture, again);
}

function ask(picture) {
  clearTimeout(missing.get(picture));
  missing.delete(picture);
  picture.hidden = false;
  picture.src = picture.src;
}

/** Ask again for what has not come: the device is back. */
export function askAgain() {
  for (const picture of [...missing.keys()]) {
    picture.dataset.tries = 0;
    ask(picture);
  }
}

// Errors of pictures do not bubble up; they are caught on the way down.
document.addEventListener("error", ({ target }) => target instanceof HTMLImageElement && leaveOut(target), true);
for (const picture of document.images) if (picture.complete && picture.naturalWidth === 0 && picture.src) leaveOut(picture);
