// What is wrong with a page, as lists that should be empty.
const width = document.documentElement.clientWidth, images = [...document.images];
const scrolls = e => e && (/auto|scroll/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement.closest("article *")));
const cut = e => e.getBoundingClientRect().right > width + 1 && !scrolls(e) && !e.closest("mjx-assistive-mml");
return {
  "a page that scrolls sideways": document.documentElement.scrollWidth > width ? [location.href] : [],
  "cut at the edge": [...document.querySelectorAll("article *")].filter(cut).slice(0, 3).map(e => e.outerHTML.slice(0, 120)),
  "images without alternative text": images.filter(i => !i.alt.trim() || /\.(png|svg)$/.test(i.alt)).map(i => i.src),
  "images that are not there": images.filter(i => i.complete && !i.naturalWidth && i.loading != "lazy").map(i => i.src),
  "formulas that are no LaTeX": [...document.querySelectorAll("mjx-merror")].map(e => e.textContent),
};
