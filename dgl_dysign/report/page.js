"use strict";
const charts = JSON.parse(document.getElementById("charts").textContent);
const drawn = new Set();

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/* What all charts share: the page's colours and type, and room for a legend below. */
function dressed(chart, choice, width) {
  const named = choice.data.filter((trace) => trace.showlegend !== false && trace.name);
  const longest = Math.max(0, ...named.map((trace) => trace.name.length));
  const lines = named.length < 2 ? 0 : Math.ceil(named.length / Math.max(1, Math.floor(width / (longest * 7 + 50))));
  const axisStyle = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"), automargin: true };
  const layout = {
    height: chart.height + 21 * lines,
    margin: { l: 56, r: 14, t: 14, b: 52 + 21 * lines },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: colour("--text") },
    showlegend: lines > 0,
    legend: { orientation: "h", x: 0, xanchor: "left", xref: "container", y: 0, yanchor: "bottom", yref: "container" },
    hoverlabel: { align: "left" },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", // a finger scrolls the page
    ...choice.layout,
  };
  for (const key of Object.keys(layout)) {
    if (/^[xy]axis\d*$/.test(key)) layout[key] = { ...axisStyle, ...layout[key] };
  }
  return layout;
}

function chosen(chart) {
  const selects = [...document.querySelectorAll(`select[data-chart="${chart.id}"]`)];
  const wanted = selects.map((select) => select.value);
  return chart.choices.find((choice) => wanted.every((value, place) => choice.at[chart.facets[place]] === value));
}

function draw(chart) {
  const plot = document.getElementById(chart.id);
  const choice = chosen(chart);
  const options = { responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false, doubleClick: "reset" };
  const title = document.getElementById(`${chart.id}-title`).textContent;
  plot.setAttribute("aria-label", `Chart: ${title}. ${choice.at.filter(Boolean).join(", ")}. ${chart.note}`);
  drawn.add(chart);
  const data = structuredClone(choice.data); // Plotly writes into what it is given
  for (const trace of data) {
    if (trace.texttemplate) trace.textfont = { ...trace.textfont, color: colour("--text") };
  }
  return Plotly.react(plot, data, dressed(chart, choice, plot.clientWidth), options);
}

/* Entries of the other choosers may not exist for what was just chosen: go to the first picture that does. */
function choose(chart, select) {
  if (!chosen(chart)) {
    const place = chart.facets[Number(select.dataset.place)];
    const found = chart.choices.find((choice) => choice.at[place] === select.value);
    document.querySelectorAll(`select[data-chart="${chart.id}"]`).forEach((other, k) => {
      other.value = found.at[chart.facets[k]];
    });
  }
  draw(chart);
}

async function unpack() {
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

async function start() {
  await unpack();
  const byId = new Map(charts.map((chart) => [chart.id, chart]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        seen.unobserve(entry.target);
        draw(byId.get(entry.target.id));
      }
    }
  }, { rootMargin: "500px" });
  for (const chart of charts) seen.observe(document.getElementById(chart.id));
  for (const select of document.querySelectorAll("select[data-chart]")) {
    select.addEventListener("change", () => choose(byId.get(select.dataset.chart), select));
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach(draw));
  addEventListener("beforeprint", () => charts.filter((chart) => !drawn.has(chart)).forEach(draw));
  document.documentElement.dataset.ready = "yes";
}

start().catch((error) => {
  const trouble = document.getElementById("trouble");
  trouble.textContent = `The charts cannot be drawn in this browser (${error.message}); the tables are complete.`;
  trouble.hidden = false;
});
