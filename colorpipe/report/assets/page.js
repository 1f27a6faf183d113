"use strict";

const galleries = JSON.parse(document.getElementById("galleries").textContent);
const gallery = document.querySelector(".gallery");
const [colorizer, before, cards, slider] = ["#colorizer", "#before", ".cards", ".stack input"].map((path) => document.querySelector(path));
const [left, right] = ["before", "after"].map((name) => gallery.querySelector(`.stack .${name}`));
let shown; // the number of the image in the viewer

function element(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

const source = (image, name) => `data:image/png;base64,${image[name]}`;
const scores = (image) => `ab MSE ${image.mse.toPrecision(4)}, RGB PSNR ${image.psnr.toFixed(1)} dB`;

// Show one image of the chosen colorizer in the viewer.
function show(number) {
  shown = number;
  const image = galleries[colorizer.value].images[number];
  left.src = source(image, before.value);
  left.alt = `Test image ${number}, ${before.value === "gray" ? "in gray" : "the original"}`;
  right.src = source(image, "predicted");
  right.alt = `Test image ${number} as ${colorizer.value} colors it`;
  gallery.querySelector(".viewer figcaption").textContent = `Test image ${number}, ${colorizer.value}: ${scores(image)}`;
  for (const button of cards.querySelectorAll("button")) button.setAttribute("aria-pressed", button.value === number);
}

// Fill the cards with the images of the chosen colorizer and kind, and show the first image.
function fill() {
  const { kinds, images } = galleries[colorizer.value];
  const kind = document.querySelector("input[name=kind]:checked").value;
  cards.replaceChildren(...kinds[kind].map((number) => {
    const image = images[number];
    const three = ["gray", "predicted", "original"].map((name) => element("img", { src: source(image, name), alt: name }));
    const button = element("button", { value: number, "aria-label": `Show test image ${number}: ${scores(image)}` },
      element("span", { class: "three" }, ...three), element("small", {}, `${number}: ${scores(image)}`));
    button.addEventListener("click", () => show(String(number)));
    return element("li", {}, button);
  }));
  show(String(kinds[kind][0]));
}

left.addEventListener("load", () => gallery.classList.toggle("pixels", left.naturalWidth < 128));
slider.addEventListener("input", () => slider.parentElement.style.setProperty("--at", `${slider.value}%`));
before.addEventListener("change", () => show(shown));
colorizer.addEventListener("change", fill);
for (const control of document.querySelectorAll("input[name=kind]")) control.addEventListener("change", fill);
fill();
