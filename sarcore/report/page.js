(() => {
  "use strict";
  const read = (element) => JSON.parse(element.textContent);
  const short = (value) => {
    if (value === null || value === undefined) return "NaN";
    const size = Math.abs(value);
    return size !== 0 && (size >= 1e6 || size < 1e-3) ? value.toExponential(2) : String(+value.toPrecision(5));
  };
  const nearest = (sorted, value) => {
    let low = 0, high = sorted.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < value) low = middle; else high = middle;
    }
    return Math.abs(sorted[low] - value) <= Math.abs(sorted[high] - value) ? low : high;
  };

  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.svg = figure.querySelector("svg");
      Object.assign(this, read(figure.querySelector("script")));
      this.cursor = figure.querySelector(".cursor");
      this.places = [...new Set(this.series.flatMap((one) => one.x))].sort((a, b) => a - b);
      this.tip = figure.appendChild(document.createElement("div"));
      this.tip.className = "tip";
      this.tip.hidden = true;
      this.tip.setAttribute("role", "status");
      if (!this.places.length) return;
      this.svg.addEventListener("pointermove", (event) => this.point(event));
      this.svg.addEventListener("pointerdown", (event) => this.point(event));
      this.svg.addEventListener("pointerleave", () => this.hide());
      this.svg.addEventListener("blur", () => this.hide());
      this.svg.addEventListener("keydown", (event) => this.key(event));
    }
    // Positions are those of the drawing, whatever size it has on the page.
    across(value) {
      const [low, high, start, end] = this.x;
      return start + (value - low) / (high - low) * (end - start);
    }
    up(value) {
      const [low, high, start, end] = this.log ? [...this.y.slice(0, 2).map(Math.log10), ...this.y.slice(2)] : this.y;
      const share = ((this.log ? Math.log10(value) : value) - low) / (high - low);
      return start + Math.max(0, Math.min(1, share)) * (end - start);
    }
    point(event) {
      const box = this.svg.getBoundingClientRect();
      const [low, high, start, end] = this.x;
      const place = (event.clientX - box.left) / box.width * this.svg.viewBox.baseVal.width;
      this.show(nearest(this.places, low + (place - start) / (end - start) * (high - low)));
    }
    key(event) {
      const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
      if (event.key === "Escape") this.hide();
      if (step === undefined) return;
      event.preventDefault();
      const from = this.index ?? (step > 0 ? -1 : this.places.length);
      this.show(Math.max(0, Math.min(this.places.length - 1, from + step)));
    }
    show(index) {
      this.index = index;
      const at = this.places[index], left = this.across(at);
      this.tip.replaceChildren();
      const head = this.tip.appendChild(document.createElement("b"));
      head.textContent = `${this.figure.dataset.x.split(",")[0]} ${short(at)}`;
      for (const one of this.series) {
        if (!one.x.length) continue;
        const found = nearest(one.x, at);
        const row = this.tip.appendChild(document.createElement("div"));
        const dot = row.appendChild(document.createElement("i"));
        if (one.look !== "reference") dot.className = `c${one.colour}`;
        const elsewhere = one.look !== "reference" && one.x[found] !== at && this.series.length > 1 && this.figure.dataset.x === "step";
        row.append(`${one.label}: ${short(one.y[found])}${elsewhere ? ` (${short(one.x[found])})` : ""}`);
      }
      this.cursor.setAttribute("x1", left);
      this.cursor.setAttribute("x2", left);
      this.cursor.setAttribute("visibility", "visible");
      this.tip.hidden = false;
      const scale = this.svg.clientWidth / this.svg.viewBox.baseVal.width || this.svg.getBoundingClientRect().width / 440;
      const room = this.figure.clientWidth - this.tip.offsetWidth;
      const beside = left * scale + 12 > room ? left * scale - this.tip.offsetWidth - 12 : left * scale + 12;
      this.tip.style.left = `${Math.max(0, Math.min(room, beside))}px`;
      this.tip.style.top = `${this.svg.getBoundingClientRect().top - this.figure.getBoundingClientRect().top + 12}px`;
    }
    hide() {
      this.index = undefined;
      this.tip.hidden = true;
      this.cursor.setAttribute("visibility", "hidden");
    }
    replace(key, values) {
      const one = this.series.find((series) => series.key === key);
      if (!one) return;
      one.y = values;
      let d = "", pen = "M";
      values.forEach((value, i) => {
        if (value === null) pen = "M";
        else {
          d += `${pen}${this.across(one.x[i]).toFixed(1)} ${this.up(value).toFixed(1)}`;
          pen = "L";
        }
      });
      this.svg.querySelector(`[data-key="${key}"]`).setAttribute("d", d);
    }
    slide(step) {
      const line = this.figure.querySelector(".slid"), inside = step >= this.x[0] && step <= this.x[1];
      line.setAttribute("visibility", inside ? "visible" : "hidden");
      line.setAttribute("x1", this.across(step));
      line.setAttribute("x2", this.across(step));
    }
  }
  const charts = new Map([...document.querySelectorAll(".chart")].filter((one) => one.querySelector("script")).map((one) => [one, new Chart(one)]));

  const slider = document.getElementById("slider");
  if (!slider) return;
  const { steps, runs } = read(document.getElementById("frames"));
  const label = document.getElementById("slider-step"), play = document.getElementById("play");
  const blocks = runs.map((run, i) => {
    const block = document.getElementById(`samples-${i}`), image = block.querySelector(".generated");
    if (image) run.pictures[run.steps[run.steps.length - 1]] = image.src;
    return { ...run, block, image, charts: [...block.querySelectorAll(".chart")].map((one) => charts.get(one)).filter(Boolean) };
  });
  const show = () => {
    const step = steps[+slider.value];
    label.textContent = `step ${step}`;
    slider.setAttribute("aria-valuetext", `step ${step}`);
    for (const run of blocks) {
      // The last picture made until then: runs need not have the same steps.
      const own = run.steps.filter((one) => one <= step).pop() ?? run.steps[0];
      if (own === undefined) continue;
      if (run.image && run.pictures[own]) {
        run.image.src = run.pictures[own];
        run.image.alt = `Generated images at step ${own}`;
      }
      for (const one of run.block.querySelectorAll(".at-step")) one.textContent = `step ${own}`;
      for (const [key, values] of Object.entries(run.frames[own] ?? {})) for (const chart of run.charts) chart.replace(key, values);
    }
    for (const [figure, chart] of charts) if (figure.dataset.x === "step") chart.slide(step);
  };
  slider.addEventListener("input", show);
  let timer = 0;
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
  slider.addEventListener("pointerdown", stop);
  play.addEventListener("click", () => {
    if (timer) return stop();
    play.textContent = "Pause";
    if (+slider.value === steps.length - 1) slider.value = -1;
    const next = () => {
      slider.value = +slider.value + 1;
      show();
      if (+slider.value === steps.length - 1) stop();
    };
    if (slider.value === "0") show();
    timer = setInterval(next, 450);
  });
})();
