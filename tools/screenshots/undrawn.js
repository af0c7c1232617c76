// What of the dashboard that is open has not been drawn yet: titles, or beginnings of texts.
() => {
  const items = [...document.querySelectorAll("[data-griditem-key]")];
  if (!items.length) return ["the page"];
  const isHeading = (item) => item.querySelector('[data-testid^="data-testid dashboard-row-title"]');
  const isDrawn = (item) => item.querySelector('[data-testid="data-testid panel content"]')?.childElementCount > 0
    && !item.querySelector('[aria-label="Panel loading bar"]');
  return items.filter((item) => !isHeading(item) && !isDrawn(item)).map((item) => item.innerText.trim().slice(0, 30) || "a panel");
}
