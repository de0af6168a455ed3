"use strict";
// Patches what changed, and says within three seconds that nothing comes any more.
const SETTLE_MS = 300, STORED_MS = 1500, CHECK_MS = 1000, ANSWER_MS = 1500;
let pending = null;

function setLive(isLive) {
  document.getElementById("feed").hidden = isLive;
  document.body.classList.toggle("not-live", !isLive);
  if (isLive) document.getElementById("since").textContent = new Date().toLocaleTimeString();
}

async function refresh() {
  pending = null;
  try {
    const answer = await fetch(location.href, {cache: "no-store", signal: AbortSignal.timeout(5000)});
    if (!answer.ok) return setLive(false);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    patch(fresh);
    setLive(true);
  } catch { setLive(false); }
}

function patch(fresh) {
  const shown = [...document.querySelectorAll("[data-patch]")].map(each => each.id).join();
  const wanted = [...fresh.querySelectorAll("[data-patch]")];
  if (wanted.map(each => each.id).join() !== shown) {
    for (const id of ["alarms", "stations"]) document.getElementById(id).replaceWith(fresh.getElementById(id));
    return;
  }
  for (const each of wanted) {
    const old = document.getElementById(each.id);
    if (old.outerHTML !== each.outerHTML) old.replaceWith(each);
  }
}

async function check() {
  try {
    const answer = await fetch("/healthz", {cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS)});
    const wasCut = document.body.classList.contains("not-live");
    if (!answer.ok) setLive(false);
    else if (wasCut) await refresh();
    else setLive(true);
  } catch { setLive(false); }
  setTimeout(check, CHECK_MS);
}

const soon = () => {
  pending ??= setTimeout(refresh, SETTLE_MS);
  // The verdict is told a moment before it is in the database.
  setTimeout(() => { pending ??= setTimeout(refresh, 0); }, STORED_MS);
};
const feed = new EventSource("/v1/events");
feed.onerror = () => setLive(false);
for (const kind of ["verdict", "dead"]) feed.addEventListener(kind, soon);
setInterval(refresh, 10000);
check();
