const moment = document.getElementById("moment");
const show = () => {
  for (const side of document.querySelectorAll(".compare > div")) {
    [...side.children].forEach((image, number) => { image.hidden = number !== Number(moment.value); });
  }
  const time = document.querySelector(".compare > div").children[moment.value].dataset.time;
  document.getElementById("time").textContent = time;
  moment.setAttribute("aria-valuetext", time);
};
moment.addEventListener("input", show);
show();
let playing;
const play = document.getElementById("play");
play.addEventListener("click", () => {
  clearInterval(playing);
  const starts = play.getAttribute("aria-pressed") === "false";
  play.setAttribute("aria-pressed", starts);
  play.textContent = starts ? "Pause" : "Play";
  if (starts) {
    playing = setInterval(() => {
      moment.value = (Number(moment.value) + 1) % (Number(moment.max) + 1);
      show();
    }, 400);
  }
});
