// A new picture brings the page to the top of its result: on a phone, the sample that was clicked
// may be screens below.

export function arrivalView({ store, ui }) {
  store.watch(["arrivals"], ({ arrivals }) => {
    if (arrivals === 0) return;
    // Where the result is in view already, the header above it stays in view, too.
    if (ui.result.getBoundingClientRect().top < 0) ui.result.scrollIntoView({ block: "start" });
  });
}
