// What is too faint by WCAG's AA: texts against what is behind them (1.4.3), and graphics that tell something (1.4.11).
const number = (text) => text.match(/[\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const colour = number(getComputedStyle(at).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const faint = [];
const measure = (name, front, back, least, opacity = 1) => {
  const mixed = front.slice(0, 3).map((c, i) => c * opacity + back[i] * (1 - opacity));
  const [a, b] = [light(mixed), light(back)].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < least) faint.push([name, Math.round(ratio * 100) / 100]);
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement;
  if (node.data.trim() === "" || !element.checkVisibility() || element.closest("svg, noscript, .skip")) continue;
  const style = getComputedStyle(element);
  const size = parseFloat(style.fontSize);
  const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  measure(node.data.trim().slice(0, 40), number(style.color), behind(element), isLarge ? 3 : 4.5);
}
// A day on which nobody asked, and the line below a chart, tell nothing.
for (const shape of document.querySelectorAll("svg rect:not(.none), svg path")) {
  const style = getComputedStyle(shape);
  const colour = shape.tagName === "path" ? style.stroke : style.fill;
  measure(`${shape.tagName} ${shape.getAttribute("class")}`, number(colour), behind(shape.closest("svg")), 3, Number(style.opacity));
}
for (const dot of document.querySelectorAll(".line, .mark")) {
  measure(`dot of ${dot.textContent}`, number(getComputedStyle(dot, "::before").backgroundColor), behind(dot), 3);
}
const focused = document.activeElement;
const ring = getComputedStyle(focused);
if (focused !== document.body && ring.outlineStyle !== "none") {
  measure(`ring of ${focused.tagName}`, number(ring.outlineColor), behind(focused.parentElement), 3);
  measure(`ring in ${focused.tagName}`, number(ring.outlineColor), behind(focused), 3);
}
return faint;
