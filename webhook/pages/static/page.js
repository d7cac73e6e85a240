// Follows runs: while the marked part of a page says so, it is fetched again and replaced.
"use strict";
async function follow() {
  const shown = document.getElementById("live");
  if (!shown || !shown.dataset.live) return;
  await new Promise((resolve) => setTimeout(resolve, Number(shown.dataset.live)));
  try {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    if (answer.ok && !answer.redirected) {
      const fetched = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
      const focused = shown.contains(document.activeElement) ? document.activeElement.id : "";
      shown.replaceWith(fetched);
      if (focused) (document.getElementById(focused) || document.getElementById("main")).focus();
    }
  } catch {
    // The server is away; the next try may find it.
  }
  follow();
}
follow();
// Single keys open links that name one, unless a text is being written.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  const link = [...document.querySelectorAll("a[data-key]")].find((each) => each.dataset.key === event.key);
  if (link) link.click();
});
