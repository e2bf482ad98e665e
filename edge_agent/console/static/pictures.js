// Pictures that fail to load are hidden and requested again later, rather than shown as broken.

const FIRST_PAUSE_MS = 2000;
const MOST_TRIES = 4;

const missing = new Map();

function hide(picture) {
  const tries = Number(picture.dataset.tries ?? 0) + 1;
  picture.dataset.tries = tries;
  picture.hidden = true;
  // The device may be overloaded. If it is unreachable, retryMissing() is called when it is back.
  const timer = tries < MOST_TRIES ? setTimeout(() => retry(picture), FIRST_PAUSE_MS * 2 ** (tries - 1)) : 0;
  missing.set(picture, timer);
}

function retry(picture) {
  clearTimeout(missing.get(picture));
  missing.delete(picture);
  picture.hidden = false;
  picture.src = picture.src;
}

/** Reload the missing pictures: the device is back. */
export function retryMissing() {
  for (const picture of [...missing.keys()]) {
    picture.dataset.tries = 0;
    retry(picture);
  }
}

// Error events of images do not bubble, so listen in the capture phase.
document.addEventListener("error", ({ target }) => target instanceof HTMLImageElement && hide(target), true);
for (const picture of document.images) if (picture.complete && picture.naturalWidth === 0 && picture.src) hide(picture);
