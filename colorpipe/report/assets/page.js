"use strict";

const viewer = document.querySelector(".viewer");
const find = (selector) => viewer.querySelector(selector);
const [stack, slider, controls, thumbs] = [".stack", ".stack input", ".controls", ".thumbs"].map(find);
const rows = [...document.querySelectorAll(".examples .row")];
let colorizer = rows.find((row) => row.dataset.name === viewer.dataset.chosen);
let number = 0;

// Return the images of a row of the chosen colorizer's data set.
function imagesOf(name) {
  return [...rows.find((row) => row.parentElement === colorizer.parentElement && row.dataset.name === name).querySelectorAll("img")];
}

function setImage(selector, name, alt) {
  find(selector).src = imagesOf(name)[number].src;
  find(selector).alt = `Test image ${number + 1} ${alt}`;
}

function show() {
  const name = colorizer.dataset.name;
  viewer.style.cssText = colorizer.parentElement.style.cssText;
  viewer.classList.toggle("still", colorizer.parentElement.dataset.still === "1");
  setImage(".before", "gray", "in gray");
  setImage(".after", name, `as ${name} colors it`);
  setImage(".original", "original", "in its true colors");
  find(".chosen").textContent = name;
  for (const button of controls.children) button.setAttribute("aria-pressed", button.textContent === name);
  [...thumbs.children].forEach((button, index) => button.setAttribute("aria-pressed", index === number));
}

function addButton(parent, content, choose) {
  const button = document.createElement("button");
  button.append(content);
  button.addEventListener("click", () => { choose(); show(); });
  parent.append(button);
}

function choose(row) {
  colorizer = row;
  number = Math.min(number, imagesOf("gray").length - 1);
  thumbs.replaceChildren();
  imagesOf(row.dataset.name).forEach((image, index) => addButton(thumbs, image.cloneNode(), () => { number = index; }));
}

for (const row of rows.filter((row) => !["gray", "original"].includes(row.dataset.name))) addButton(controls, row.dataset.name, () => choose(row));
slider.addEventListener("input", () => stack.style.setProperty("--at", `${slider.value}%`));
controls.hidden = thumbs.hidden = false;
choose(colorizer);
show();
