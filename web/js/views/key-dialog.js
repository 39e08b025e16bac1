// Asks for an API key when the service wants one.

export function keyDialog({ store, ui, actions }, onKey) {
  ui.keyForm.addEventListener("submit", (event) => {
    event.preventDefault();
    const key = ui.key.value.trim();
    if (!key) return;
    actions.useKey(key);
    onKey();
  });
  store.watch(["key"], ({ key: { needed, refused } }) => {
    ui.keyError.hidden = !refused;
    if (refused) ui.key.setAttribute("aria-describedby", "key-error");
    if (needed && !ui.keyDialog.open) {
      ui.key.value = "";
      ui.keyDialog.showModal();
    }
    if (!needed && ui.keyDialog.open) ui.keyDialog.close();
  });
}
