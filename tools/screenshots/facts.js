// What a person can see of the dashboard that is open. Run in the page; names elements by Grafana's own test ids.
() => {
  const ENTRY = '[data-testid^="data-testid VizLegend series"], tr:has([data-testid="series-icon"])';
  const describe = (text) => text.trim().replace(/\s+/g, " ").slice(0, 60);

  // By how many pixels the nearest ancestor that clips cuts a text off; what can be scrolled to is not cut.
  const cutBy = (node, panel) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    const text = range.getBoundingClientRect();
    if (text.width < 2 || text.height < 2) return 0;
    let across = true, down = true;
    for (let at = node.parentElement; at && at !== panel.parentElement && (across || down); at = at.parentElement) {
      const style = getComputedStyle(at), box = at.getBoundingClientRect();
      if (style.visibility === "hidden" || style.opacity === "0" || box.width <= 1) return 0;
      if (across && style.overflowX !== "visible") {
        const beyond = Math.max(text.right - box.right, box.left - text.left);
        if (/hidden|clip/.test(style.overflowX) && beyond > 1.5) return Math.round(beyond);
        across = /hidden|clip/.test(style.overflowX);
      }
      if (down && style.overflowY !== "visible") {
        const beyond = Math.max(text.bottom - box.bottom, box.top - text.top);
        // A line is higher than its letters.
        if (/hidden|clip/.test(style.overflowY) && beyond > text.height * 0.3) return Math.round(beyond);
        down = /hidden|clip/.test(style.overflowY);
      }
    }
    return 0;
  };

  const kindOf = (element) => {
    if (element.closest("h2")) return "title";
    if (element.closest('[role="columnheader"]')) return "header";
    return element.closest(ENTRY) ? "legend" : "value";
  };

  const texts = (panel) => {
    const found = [], walker = document.createTreeWalker(panel, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      if (node.textContent.trim() && !element.closest("style, script, svg, [role=tooltip]")) found.push(node);
    }
    return found;
  };

  const cuts = (panel) => texts(panel).flatMap((node) => {
    const cell = node.parentElement.closest('[role="gridcell"]');
    // Such a cell shows its whole text to the mouse.
    if (cell && cell.querySelector('[data-testid*="tooltip caret" i]')) return [];
    const pixels = cutBy(node, panel);
    return pixels ? [{kind: kindOf(node.parentElement), text: describe(node.textContent), pixels}] : [];
  });

  const columnsBeyond = (panel) => [...panel.querySelectorAll('[role="grid"]')]
    .map((grid) => grid.scrollWidth - grid.clientWidth).filter((pixels) => pixels > 1);

  // Legends below a chart that show some of their entries only; beside it, people expect to scroll.
  const legendsBeyond = (panel) => [...panel.querySelectorAll("div")].filter((box) => {
    const plot = panel.querySelector('[data-testid="data-testid panel content"] :is(canvas, svg)');
    return /auto|scroll/.test(getComputedStyle(box).overflowY) && box.scrollHeight > box.clientHeight + 2
      && box.querySelector(ENTRY) && plot && box.getBoundingClientRect().top >= plot.getBoundingClientRect().bottom - 8;
  }).map((box) => box.scrollHeight - box.clientHeight);

  // Share of what is drawn in a chart that has a colour; axes and grid are grey, thresholds and marks are not.
  const coloured = (panel) => {
    const canvas = panel.querySelector(".uplot canvas");
    if (!canvas || !canvas.width || !canvas.height) return null;
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let drawn = 1, found = 0;
    for (let at = 0; at < data.length; at += 4) {
      if (data[at + 3] < 64) continue;
      const rgb = [data[at], data[at + 1], data[at + 2]];
      drawn++;
      if (Math.max(...rgb) - Math.min(...rgb) > 40) found++;
    }
    return found / drawn;
  };

  const describePanel = (holder) => {
    const panel = holder.querySelector("section") || holder;
    const message = panel.querySelector('[data-testid="data-testid Panel data error message"]');
    const words = texts(panel).map((node) => node.textContent.trim());
    const row = panel.querySelector('[role="gridcell"]');
    return {
      title: (panel.dataset.testid || "").replace("data-testid Panel header ", ""),
      error: Boolean(panel.querySelector('[data-testid="data-testid Panel status error"]')) || /An unexpected error happened/.test(panel.textContent),
      empty: message ? describe(message.textContent) : words.find((word) => word === "No data") || null,
      first_row_bottom: row ? Math.round(row.getBoundingClientRect().bottom + scrollY) : null,
      coloured: coloured(panel),
      cut: cuts(panel),
      columns_beyond: columnsBeyond(panel),
      legends_beyond: legendsBeyond(panel),
    };
  };

  return [...document.querySelectorAll("[data-viz-panel-key]")].map(describePanel);
}
