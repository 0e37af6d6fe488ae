for (const input of document.querySelectorAll("input[data-property]")) {
  const adjust = () => {
    input.closest(".adjusted").style.setProperty(input.dataset.property, input.value + "%");
    input.setAttribute("aria-valuetext", Math.round(input.value) + "%");
  };
  input.addEventListener("input", adjust);
  adjust(); // browsers keep the value when a page is loaded again
}
