"use strict";
// Draws what the supervisor wrote, and draws it again when that changes. A part that did not change is left as it
// is, so that whoever reads or has the focus in it stays there.

const base = new URL(".", document.baseURI);
const STALE = 90;
const drawn = new Map();
let now = null;
let record = null;
let ahead = 0;
let source = null;

const byId = (id) => document.getElementById(id);

function when(seconds) {
  if (!seconds) return "never";
  const date = new Date(seconds * 1000);
  return el("time", { datetime: date.toISOString(), title: date.toLocaleString() }, ago(seconds));
}

function since(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const date = new Date(seconds * 1000);
  return el("time", { datetime: date.toISOString(), title: date.toLocaleString() }, `for ${span(seconds) ?? "a moment"}`);
}

function ago(seconds) {
  const past = span(seconds);
  return past === null ? "just now" : `${past} ago`;
}

// What is shorter than a minute and a half is no number.
function span(seconds) {
  const past = Math.max(0, Date.now() / 1000 + ahead - seconds);
  if (past < 90) return null;
  const [unit, size] = [["day", 86400], ["hour", 3600], ["minute", 60]].find(([, size]) => past >= size);
  const count = Math.floor(past / size);
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

const WORDS = { healthy: "healthy", unhealthy: "unhealthy", unknown: "unknown", note: "healthy" };

function mark(verdict) {
  const word = WORDS[verdict] ?? "unknown";
  return el("span", { class: "mark", "data-verdict": word }, word);
}

// Draws a part if its data is another one.
function part(id, data, draw) {
  const text = JSON.stringify(data);
  const section = byId(id);
  if (drawn.get(id) === text) return;
  drawn.set(id, text);
  const body = section.querySelector(".body");
  const focused = body.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  body.replaceChildren(...[draw()].flat());
  if (focused) body.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

function list(rows, none) {
  return rows.length === 0 ? el("p", { class: "none" }, none) : el("ul", { class: "rows" }, rows);
}

function probeRow(probe, today, opened) {
  const days = record?.days?.probes?.[probe.name];
  const up = uptime(days);
  const words = up ? `${up.text} of 90 days` : "no history yet";
  const summary = el("summary", { "data-key": probe.name },
    mark(probe.verdict),
    el("span", { class: "name" }, probe.subject),
    strip(days, today),
    el("span", { class: "share-text" }, up ? up.text : "–", el("span", { class: "sr" }, up ? " of 90 days" : " no history yet")));
  const bad = (days ?? []).filter((day) => day[2] + day[3] > 0).reverse();
  const details = el("details", { class: "probe" }, summary,
    el("p", {}, probe.wavers ? "It changes again and again. " : null, probe.reason),
    el("p", { class: "soft" }, `${WORDS[probe.verdict] ?? "unknown"} `, since(probe.since), `; ${words}`),
    bad.length === 0 ? null : el("ul", { class: "days" }, bad.slice(0, 14).map((day) =>
      el("li", {}, `${dayName(day[0])}: ${percent(day[1], day[1] + day[2] + day[3])}, ${day[2]} unhealthy, ${day[3]} unknown of ${day[1] + day[2] + day[3]} answers`))));
  details.open = opened.has(probe.name);
  return details;
}

function drawProbes() {
  const today = record?.days?.today ?? Math.floor(now.time / 86400);
  const order = { unhealthy: 0, unknown: 1, healthy: 2, note: 2 };
  // Off the page itself: a `toggle` event comes late, and what is drawn before it would be shut again.
  const opened = new Set([...document.querySelectorAll("details[open] > summary")].map((one) => one.dataset.key));
  const groups = new Map();
  for (const probe of now.probes) {
    const stack = probe.stack ?? "This host";
    if (!groups.has(stack)) groups.set(stack, []);
    groups.get(stack).push(probe);
  }
  return [...groups].map(([stack, probes]) => el("div", { class: "group" },
    el("h3", {}, stack),
    [...probes].sort((a, b) => order[a.verdict] - order[b.verdict]).map((probe) => probeRow(probe, today, opened))));
}

const FOUND = {
  errors: (one) => `${one.count} answers were failures`,
  "brute-force": (one) => `${one.client ?? "somebody"} was refused ${one.count} times in a minute`,
  scanner: (one) => `${one.client ?? "somebody"} asked ${one.count} times in a minute for what is not there`,
  "journal-errors": (one) => `${one.count} errors in the journal in a minute`,
  "ssh-brute-force": (one) => `${one.client ?? "somebody"} failed ${one.count} times in a minute to log in`,
};

function found(one) {
  return (FOUND[one.kind] ?? (() => one.kind))(one);
}

/** Those that stand out in the journal; most of the time none. */
function journalCard(journal) {
  const units = Object.entries(journal?.units ?? {}).flatMap(([unit, about]) => about.findings.map((one) => `${unit}: ${found(one)}`));
  const logins = (journal?.findings ?? []).map((one) => `SSH: ${found(one)}`);
  const unread = journal && !journal.is_followed ? ["Nobody reads the journal."] : [];
  const all = [...unread, ...units, ...logins];
  return all.length === 0 ? []
    : [el("article", { class: "site" }, el("h3", {}, "Journal"), all.map((text) => el("p", { class: "found" }, text)))];
}

function milliseconds(value, requests) {
  if (value === null || value === undefined) return requests > 0 ? "over 5 s" : "–";
  return value >= 1000 ? `${value / 1000} s` : `${value} ms`;
}

function siteCard(site) {
  const numbers = site.statuses.map((count, index) => (count === 0 ? null
    : el("li", {}, el("i", { class: `s${index + 1}` }), `${index + 1}xx `, el("b", {}, count.toLocaleString()))));
  return el("article", { class: "site" },
    el("h3", {}, site.name),
    el("p", { class: "big" }, el("b", {}, site.requests.toLocaleString()), site.requests === 1 ? " request" : " requests"),
    share(site.statuses),
    el("ul", { class: "legend" }, numbers),
    chart(record?.charts?.[site.name]),
    el("dl", { class: "times" },
      el("div", {}, el("dt", {}, el("i", { class: "usual" }), "half within"), el("dd", {}, milliseconds(site.p50_ms, site.requests))),
      el("div", {}, el("dt", {}, el("i", { class: "slow" }), "99 % within"), el("dd", {}, milliseconds(site.p99_ms, site.requests)))),
    site.findings.map((one) => el("p", { class: "found" }, found(one))));
}

function containerRow(one) {
  const verdict = one.phase === "up" && !one.crash_loop ? "healthy" : one.phase === "held" ? "unknown" : "unhealthy";
  const mends = one.mends === 0 ? "never mended" : `mended ${one.mends} time${one.mends === 1 ? "" : "s"}`;
  return el("li", {}, mark(verdict), el("span", { class: "name" }, one.name),
    el("span", { class: "soft" }, `${one.phase.replaceAll("_", " ")} `, since(Date.parse(one.since) / 1000), `, ${mends}`, one.crash_loop ? ", crash loop" : ""),
    one.error ? el("p", { class: "found" }, one.error) : null);
}

/** The probe's verdict and why, by the snapshot; what its reason does not say already, after it. */
function judgedRow(one, about, more) {
  const extra = more && !one.reason?.includes(more) ? el("p", { class: one.reason ? "found" : "soft" }, more) : null;
  return el("li", {}, mark(one.verdict), el("span", { class: "name" }, one.stack), el("span", { class: "soft" }, about),
    one.reason ? el("p", { class: "found", "data-verdict": one.verdict }, one.reason) : null, extra);
}

function certificateRow(one) {
  const left = Math.floor((one.not_after - now.time) / 86400);
  const life = one.not_after === null ? "cannot be read" : left < 0 ? "has ended" : `${left} day${left === 1 ? "" : "s"} left`;
  return judgedRow(one, [`${life}, ${one.issuer}`], one.error);
}

function backupRow(one) {
  return judgedRow(one, ["newest ", when(one.newest), ", last good ", when(one.good)], one.failure ?? one.fault);
}

function drawAll() {
  if (now === null) return;
  document.title = `${plain(now.host, 60)}: status`;
  byId("host").textContent = plain(now.host, 80);
  const ill = now.probes.filter((probe) => probe.verdict === "unhealthy").length;
  const unclear = now.probes.filter((probe) => probe.verdict === "unknown").length;
  const banner = byId("banner");
  const [verdict, words] = now.probes.length === 0 ? ["unknown", "Nothing has been asked yet."]
    : ill > 0 ? ["unhealthy", `${ill} of ${now.probes.length} probes ${ill === 1 ? "is" : "are"} unhealthy`]
      : unclear > 0 ? ["unknown", `${unclear} of ${now.probes.length} probes got no answer`]
        : ["healthy", `All ${now.probes.length} probes are healthy`];
  if (banner.textContent !== words) banner.textContent = words;
  banner.dataset.verdict = verdict;
  byId("facts").textContent = plain(`Generation ${now.generation}, tavernctl ${now.tavernctl}`);
  const minute = Math.floor(now.time / 60);
  part("alerts", [now.alerts, minute], () => el("ul", { class: "rows alerts" }, now.alerts.map((one) =>
    el("li", {}, mark(one.good ? "healthy" : "unhealthy"), el("span", { class: "name" }, one.text), el("span", { class: "soft" }, when(one.at))))));
  byId("alerts").hidden = now.alerts.length === 0;
  part("probes", [now.probes, record?.days, minute], drawProbes);
  part("sites", [now.sites, now.journal, record?.charts], () => (now.sites.length === 0
    ? el("p", { class: "none" }, "Nobody watches the logs.") : [...journalCard(now.journal), ...now.sites.map(siteCard)]));
  part("containers", [now.containers, minute], () => list(now.containers.map(containerRow), "No containers."));
  part("certificates", [now.certificates, minute], () => list(now.certificates.map(certificateRow), "No certificates."));
  part("backups", [now.backups, minute], () => list(now.backups.map(backupRow), "No stack has backups."));
  part("generations", [now.generations, minute], () => list(now.generations.map((one) =>
    el("li", {}, el("span", { class: "number" }, one.number), el("span", { class: "name" }, one.verb), el("span", { class: "soft" }, when(one.at)))), "None."));
}

function tellLine() {
  const line = byId("line");
  const old = now === null ? Infinity : Date.now() / 1000 + ahead - now.time;
  const live = source !== null && source.readyState === EventSource.OPEN;
  const [state, words] = !live ? ["down", "not connected; asking again"]
    : now === null ? ["wait", "waiting for tavernd"]
      : old > STALE ? ["down", `tavernd has written nothing since ${ago(now.time)}`]
        : ["up", "live"];
  line.dataset.state = state;
  if (line.textContent !== words) line.textContent = words;
}

async function fetchHistory() {
  try {
    const answer = await fetch(new URL("history.json", base), { cache: "no-store" });
    if (!answer.ok) return;
    record = await answer.json();
    drawAll();
  } catch {
    // The next event asks again.
  }
}

function take(data) {
  now = JSON.parse(data);
  if (now === null) return;
  drawAll();
  if (record === null || record.edition !== now.edition) fetchHistory();
}

function connect() {
  source?.close();
  source = new EventSource(new URL("events", base));
  source.addEventListener("open", tellLine);
  source.addEventListener("now", (event) => { take(event.data); tellLine(); });
  source.addEventListener("beat", (event) => { ahead = Number(event.data) - Date.now() / 1000; drawAll(); tellLine(); });
  source.addEventListener("error", () => {
    tellLine();
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(connect, 10000);
  });
}

// A window that nobody looks at holds no line.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) { source?.close(); return; }
  if (source === null || source.readyState === EventSource.CLOSED) connect();
});
setInterval(tellLine, 5000);
connect();
