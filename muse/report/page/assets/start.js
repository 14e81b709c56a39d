// Builds the page, and switches between light and dark.

const root = document.documentElement;
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);

const { section, diagram } = diagramSection();
const themeButton = button("", () => useTheme(isDark() ? "light" : "dark"), { id: "theme", "aria-label": "Change between light and dark" });

// Without a theme it is as the system prefers.
function useTheme(theme) {
  if (theme) root.dataset.theme = theme; else delete root.dataset.theme;
  themeButton.textContent = isDark() ? "Light" : "Dark";
  diagram.paint();
}

document.getElementById("page").replaceChildren(
  topOfPage(themeButton), tiles(), section, ...(anyCommitted ? [commitsSection(diagram)] : []), addressSection(diagram), activitySection(diagram), shareSections(), pendingSection(), verifySection(), footer(),
);
useTheme();
prefersDark.addEventListener("change", () => useTheme(root.dataset.theme));
// Print in light colours, because paper is white.
let beforePrint;
addEventListener("beforeprint", () => { beforePrint = root.dataset.theme; useTheme("light"); });
addEventListener("afterprint", () => useTheme(beforePrint));
showState(diagram);
addEventListener("hashchange", () => showState(diagram));
