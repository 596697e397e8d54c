"use strict";
// The newest versions are at the right end of a chart that is wider than the screen.
for (const chart of document.querySelectorAll(".scroll > .chart")) chart.parentElement.scrollLeft = chart.parentElement.scrollWidth;

// Replaces a part of the page whenever the server sends its new content; keeps the focus.
for (const part of document.querySelectorAll("[data-live]")) {
  const status = document.querySelector("[data-live-status]");
  const source = new EventSource(part.dataset.live);
  source.addEventListener("part", (event) => {
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const target = focused ? focused.getAttribute("href") || focused.getAttribute("aria-label") : null;
    const scrolled = [...part.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
    part.innerHTML = JSON.parse(event.data); // the server escapes all text; the policy forbids scripts
    [...part.querySelectorAll(".scroll")].forEach((one, n) => { one.scrollLeft = scrolled[n] || 0; });
    if (target) {
      const same = [...part.querySelectorAll("a, [tabindex]")].find(
        (one) => (one.getAttribute("href") || one.getAttribute("aria-label")) === target);
      if (same) same.focus({ preventScroll: true });
    }
    if (status) status.textContent = "";
  });
  source.addEventListener("error", () => {
    if (status) status.textContent = "The connection was lost; it is being restored.";
  });
  addEventListener("pagehide", () => source.close());
}
