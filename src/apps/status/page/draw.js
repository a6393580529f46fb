"use strict";
// Elements out of data. Text is only ever a text node: much of what is shown, strangers wrote.

const SVG = "http://www.w3.org/2000/svg";
const DAYS = 90;

// Control characters and those that turn the direction of text have no business in a line of ours.
const ODD = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

function plain(text, most = 400) {
  const whole = String(text ?? "").replace(ODD, "\ufffd");
  return whole.length > most ? `${whole.slice(0, most)} …` : whole;
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== undefined && value !== null) node.setAttribute(name, String(value));
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === "") continue;
    node.append(child instanceof Node ? child : document.createTextNode(plain(child)));
  }
  return node;
}

function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function dayName(day) {
  const date = new Date(day * 86400000);
  return date.toLocaleDateString(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
}

function percent(healthy, all) {
  const share = (100 * healthy) / all;
  // Never round what was down up to 100.
  const digits = share === 100 ? 0 : 2;
  return `${(Math.floor(share * 100) / 100).toFixed(digits)} %`;
}

// One bar a day, the newest on the right. A day is [day, healthy, unhealthy, unknown].
function strip(days, today) {
  const known = new Map((days ?? []).map((day) => [day[0], day]));
  const picture = svg("svg", {
    viewBox: `0 0 ${DAYS * 4} 24`, preserveAspectRatio: "none", class: "strip", "aria-hidden": "true",
  });
  for (let index = 0; index < DAYS; index += 1) {
    const date = today - DAYS + 1 + index;
    const day = known.get(date);
    const all = day ? day[1] + day[2] + day[3] : 0;
    let kind = "none";
    let words = "not asked";
    if (all > 0) {
      const share = day[1] / all;
      kind = share === 1 ? "good" : share >= 0.99 ? "fair" : share >= 0.9 ? "poor" : "bad";
      words = percent(day[1], all);
    }
    const bar = svg("rect", { x: index * 4, y: 0, width: 3, height: 24, rx: 1, class: kind });
    bar.append(svg("title", {}, `${dayName(date)}: ${words}`));
    picture.append(bar);
  }
  return picture;
}

function uptime(days) {
  let [healthy, all] = [0, 0];
  for (const day of days ?? []) {
    healthy += day[1];
    all += day[1] + day[2] + day[3];
  }
  return all === 0 ? null : { text: percent(healthy, all), healthy, all };
}

// Two lines over an hour: what half and what nearly all requests took; below, how many failed.
function chart(points) {
  const [width, height, floor] = [300, 64, 60];
  const times = points?.time ?? [];
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", preserveAspectRatio: "none", "aria-hidden": "true" });
  picture.append(svg("line", { x1: 0, x2: width, y1: floor, y2: floor, class: "axis" }));
  if (times.length < 2) return picture;
  const end = times[times.length - 1];
  const start = Math.min(times[0], end - 600);
  const x = (time) => ((time - start) / (end - start)) * width;
  const most = Math.max(1, ...points.p99_ms.map((value) => value ?? 0));
  // By its logarithm: beside one slow request, what half of them took would lie on the floor.
  const y = (value) => floor - 2 - (Math.log1p(value) / Math.log1p(most)) * (floor - 10);
  times.forEach((time, index) => {
    const all = points.requests[index];
    if (points.failures[index] === 0 || all === 0) return;
    const tall = Math.max(3, (points.failures[index] / all) * floor);
    picture.append(svg("rect", { x: Math.max(0, x(time) - 1.5), y: floor - tall, width: 3, height: tall, class: "failed" }));
  });
  for (const [name, kind] of [["p99_ms", "slow"], ["p50_ms", "usual"]]) {
    let path = "";
    let pen = "M";
    points[name].forEach((value, index) => {
      if (value === null) { pen = "M"; return; }
      path += `${pen}${x(times[index]).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
    });
    if (path !== "") picture.append(svg("path", { d: path, class: kind, "vector-effect": "non-scaling-stroke" }));
  }
  return picture;
}

// Statuses side by side; a class that was answered at all can be seen.
function share(statuses) {
  const all = statuses.reduce((sum, count) => sum + count, 0);
  const picture = svg("svg", { viewBox: "0 0 300 8", class: "share", preserveAspectRatio: "none", "aria-hidden": "true" });
  if (all === 0) {
    picture.append(svg("rect", { x: 0, y: 0, width: 300, height: 8, class: "none" }));
    return picture;
  }
  const parts = statuses.map((count) => (count === 0 ? 0 : Math.max(4, (300 * count) / all)));
  const sum = parts.reduce((total, part) => total + part, 0);
  let at = 0;
  parts.forEach((part, index) => {
    if (part === 0) return;
    const wide = (300 * part) / sum;
    picture.append(svg("rect", { x: at, y: 0, width: Math.max(1, wide - 1), height: 8, class: `s${index + 1}` }));
    at += wide;
  });
  return picture;
}
