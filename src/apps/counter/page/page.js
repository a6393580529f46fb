"use strict";
// Shows whether the service answers, and how fast, while the page is looked at.
const pulse = document.getElementById("pulse");
const text = document.getElementById("pulse-text");
const example = document.getElementById("example");
const base = new URL(".", document.baseURI);

example.textContent = example.textContent.replaceAll("HOST", base.href.replace(/\/$/, ""));

function show(state, words) {
  pulse.dataset.state = state;
  text.textContent = words;
}

async function ask() {
  if (document.hidden) return;
  const started = performance.now();
  try {
    const answer = await fetch(new URL("api/ping", base), {
      cache: "no-store",
      signal: AbortSignal.timeout(4000),
    });
    const { status } = await answer.json();
    if (answer.ok && status === "ok") {
      show("up", `answers in ${Math.max(1, Math.round(performance.now() - started))} ms`);
    } else {
      show("down", `answers ${answer.status}`);
    }
  } catch {
    show("down", "does not answer");
  }
}

document.addEventListener("visibilitychange", ask);
setInterval(ask, 5000);
ask();
