// The ways in which a picture comes to the page: chosen, pasted, dropped.

/** `ui` holds the elements: file, choose and chooseOther. `take` is given each file. */
export function takeFiles(ui, take) {
  for (const button of [ui.choose, ui.chooseOther]) button.addEventListener("click", () => ui.file.click());
  ui.file.addEventListener("change", () => {
    take(ui.file.files[0]);
    // The same file can be chosen again.
    ui.file.value = "";
  });
  addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (file) take(file);
  });

  // Each element that the pointer enters on its way tells of it.
  let depth = 0;
  const mark = (change) => {
    depth = Math.max(0, change);
    document.body.classList.toggle("dragging", depth > 0);
  };
  addEventListener("dragenter", () => mark(depth + 1));
  addEventListener("dragleave", () => mark(depth - 1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    mark(0);
    take(event.dataTransfer.files[0]);
  });
}
