// The three ways to provide an image: choose a file, paste, drop.

/** Calls `onFile` with each image. `ui` holds the elements file, choose and chooseFile. */
export function listenForFiles(ui, onFile) {
  for (const button of [ui.choose, ui.chooseFile]) {
    button.addEventListener("click", () => ui.file.click());
  }
  ui.file.addEventListener("change", () => {
    onFile(ui.file.files[0]);
    // Otherwise choosing the same file again would fire no event.
    ui.file.value = "";
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    const image = files.find(({ type }) => type.startsWith("image/"));
    if (image) onFile(image);
  });

  // `dragenter` and `dragleave` fire for each element that the pointer crosses.
  let depth = 0;
  const setDepth = (value) => {
    depth = Math.max(0, value);
    document.body.classList.toggle("dragging", depth > 0);
  };
  addEventListener("dragenter", () => setDepth(depth + 1));
  addEventListener("dragleave", () => setDepth(depth - 1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    setDepth(0);
    onFile(event.dataTransfer.files[0]);
  });
}
