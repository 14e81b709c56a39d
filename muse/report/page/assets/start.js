// Builds the page, and switches between light and dark.

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function themeButton(repaint) {
  const label = () => (isDark() ? "Light" : "Dark");
  const shown = () => { made.textContent = label(); repaint(); };
  const change = () => { document.documentElement.dataset.theme = isDark() ? "light" : "dark"; shown(); };
  const made = button(label(), change, { id: "theme", "aria-label": "Change between light and dark" });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", shown);
  return made;
}

// Print in light colours, because paper is white.
function lightOnPaper(repaint) {
  let before;
  addEventListener("beforeprint", () => {
    before = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
    repaint();
  });
  addEventListener("afterprint", () => {
    if (before) document.documentElement.dataset.theme = before; else delete document.documentElement.dataset.theme;
    repaint();
  });
}

const { section, diagram } = diagramSection();
const repaint = () => diagram.paint();
document.getElementById("page").replaceChildren(
  topOfPage(themeButton(repaint)), tiles(), section, ...(anyCommitted ? [commitsSection(diagram)] : []), addressSection(diagram), activitySection(diagram), shareSections(), pendingSection(), verifySection(), footer(),
);
lightOnPaper(repaint);
showState(diagram);
addEventListener("hashchange", () => showState(diagram));
