// Before anything is painted: the theme, text size and language that the person chose.
try {
  Object.assign(document.documentElement.dataset, JSON.parse(localStorage.getItem("cymba-look")));
} catch {
  // Nothing is kept, or it cannot be read: what the system says holds.
}
