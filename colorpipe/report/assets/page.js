"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const COLORS = {
  false: ["#0072b2", "#d55e00", "#009e73", "#b0538f", "#9a6a00", "#3a8fc0", "#000000", "#7f7f7f", "#8c564b"],
  true: ["#4aa8e8", "#ff9350", "#35cfa2", "#e6a3cb", "#f2bb3f", "#a5dcff", "#ffffff", "#9c9c9c", "#c99a8e"],
};
const PARTS = { val: "validation", train: "train" };

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Tables: a click on a heading sorts by it, a second one descending; missing values stay at the end.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.value;
      const compare = (one, other) => {
        const [a, b] = [value(one), value(other)];
        if (a === "" || b === "") return (a === "") - (b === "");
        const order = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
        return down ? -order : order;
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    });
  });
}

// Curves: one panel for the colorizers and one for the pretext task, each with its metrics.
function panel(id, group) {
  const root = document.getElementById(id);
  if (!root) return;
  const [metric, part, place, numbers] = ["metric", "part", "chart", "numbers"].map((name) => root.querySelector(`.${name}`));
  const names = Object.keys(group.curves);
  let plot;

  function lines() {
    const [key, only] = group.metrics[metric.value];
    const chosen = only ? names.filter((name) => group.kinds[name] === only) : names;
    const parts = part.value === "both" ? ["val", "train"] : [part.value];
    return chosen.flatMap((name) => parts.map((side) => {
      const { epoch, [`${side}_${key}`]: values } = group.curves[name];
      const label = parts.length > 1 ? `${name}, ${PARTS[side]}` : name;
      return { label, color: names.indexOf(name), dashed: side === "train", at: new Map(epoch.map((x, row) => [x, values[row]])) };
    }));
  }

  function draw() {
    const style = getComputedStyle(document.documentElement);
    const [ink, line] = [style.getPropertyValue("--quiet"), style.getPropertyValue("--line")];
    const series = lines();
    const epochs = [...new Set(series.flatMap(({ at }) => [...at.keys()]))].sort((a, b) => a - b);
    const rows = series.map(({ at }) => epochs.map((x) => at.get(x) ?? null));
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
    const options = {
      width: place.clientWidth,
      height: 320,
      scales: { x: { time: false, range: (_, low, high) => (low === high ? [low - 1, high + 1] : [low, high]) } },
      axes: [{ ...axis, label: "epoch", labelSize: 24, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] }, { ...axis, size: 62 }],
      series: [
        { label: "epoch" },
        ...series.map(({ label, color, dashed }) => ({
          label,
          stroke: COLORS[dark.matches][color % COLORS[dark.matches].length],
          width: 2,
          dash: dashed ? [5, 4] : undefined,
          points: { show: true, size: 6 },
          value: (_, value) => (value === null ? "" : Number(value.toPrecision(4))),
        })),
      ],
    };
    plot?.destroy();
    plot = new uPlot(options, [epochs, ...rows], place);
    for (const row of [...place.querySelectorAll(".u-legend .u-series")].slice(1)) { // a click hides a line, Enter too
      row.tabIndex = 0;
      row.setAttribute("role", "button");
      row.setAttribute("aria-pressed", "true");
      row.addEventListener("click", () => row.setAttribute("aria-pressed", String(!row.classList.contains("u-off"))));
      row.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          row.querySelector("th").click();
        }
      });
    }
    const last = (row) => row.filter((value) => value !== null).at(-1)?.toPrecision(4) ?? "no value";
    const ends = series.map(({ label }, number) => `${label} ${last(rows[number])}`).join(", ");
    place.setAttribute("aria-label", `${metric.value} by epoch; at the end: ${ends}`);
    const head = element("tr", {}, ...["epoch", ...series.map(({ label }) => label)].map((text) => element("th", { scope: "col" }, text)));
    const body = epochs.map((x, number) => element("tr", {}, element("th", { scope: "row" }, String(x)),
      ...rows.map((row) => element("td", {}, row[number] === null ? "" : row[number].toPrecision(5)))));
    numbers.replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
  }

  metric.addEventListener("change", draw);
  part.addEventListener("change", draw);
  dark.addEventListener("change", draw);
  new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: 320 })).observe(place);
  draw();
}
panel("curves", data.training);
if (data.pretext) panel("pretext-curves", data.pretext);

// Pictures: cards of one colorizer and kind; the chosen one in the viewer, before and after under a slider.
const gallery = document.querySelector(".gallery");
const [colorizer, before, cards, slider] = ["#colorizer", "#before", ".cards", ".stack input"].map((path) => document.querySelector(path));
const [left, right] = ["before", "after"].map((name) => gallery.querySelector(`.stack .${name}`));
const picture = (image, name) => `data:image/png;base64,${image[name]}`;
const scores = (image) => `squared error of ab ${image.mse.toPrecision(4)}, PSNR in RGB ${image.psnr.toFixed(1)} dB`
  + (data.galleries[colorizer.value].temperatures.length ? ` (at temperature ${data.temperature})` : "");
const temperatures = document.getElementById("temperatures");
const temperature = document.getElementById("temperature");
let shown;

// Where a colorizer predicts shares of the 313 bins, the temperature at which they are decoded can be chosen.
function predicted() {
  const { temperatures: all } = data.galleries[colorizer.value];
  return all.length ? all[temperature.value] : "predicted";
}

function show(number) {
  shown = number;
  const image = data.galleries[colorizer.value].images[number];
  left.src = picture(image, before.value);
  left.alt = `Test image ${number}, ${before.value === "gray" ? "in gray" : "the original"}`;
  right.src = picture(image, predicted());
  right.alt = `Test image ${number} as ${colorizer.value} colors it`;
  gallery.querySelector(".viewer figcaption").textContent = `Test image ${number}, ${colorizer.value}: ${scores(image)}`;
  for (const button of cards.querySelectorAll("button")) button.setAttribute("aria-pressed", button.value === number);
}

function fill() {
  const { kinds, images, temperatures: all } = data.galleries[colorizer.value];
  temperatures.hidden = !all.length;
  temperatures.querySelector("output").textContent = all[temperature.value] ?? "";
  const kind = document.querySelector("input[name=kind]:checked").value;
  cards.replaceChildren(...kinds[kind].map((number) => {
    const image = images[number];
    const three = ["gray", predicted(), "original"].map((name) => element("img", { src: picture(image, name), alt: isNaN(name) ? name : "predicted" }));
    const button = element("button", { value: number, "aria-label": `Show test image ${number}: ${scores(image)}` },
      element("span", { class: "three" }, ...three), element("small", {}, `${number}: error ${image.mse.toPrecision(4)}, ${image.psnr.toFixed(1)} dB`));
    button.addEventListener("click", () => show(String(number)));
    return element("li", {}, button);
  }));
  show(String(kinds[kind][0]));
  gallery.classList.toggle("pixels", left.naturalWidth < 128);
}

left.addEventListener("load", () => gallery.classList.toggle("pixels", left.naturalWidth < 128));
slider.addEventListener("input", () => slider.parentElement.style.setProperty("--at", `${slider.value}%`));
before.addEventListener("change", () => show(shown));
function another() { // starts at the temperature of the table
  const { temperatures: all } = data.galleries[colorizer.value];
  temperature.max = Math.max(all.length - 1, 0);
  temperature.value = Math.max(all.indexOf(data.temperature), 0);
  fill();
}

colorizer.addEventListener("change", another);
temperature.addEventListener("input", fill);
for (const control of [...document.querySelectorAll("input[name=kind]")]) control.addEventListener("change", fill);
another();
