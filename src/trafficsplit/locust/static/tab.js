// Puts the charts below the table of Locust's tab "Traffic split", and takes them away again.
"use strict";
(() => {
  const KEY = "traffic-split";
  let frame = null;
  const place = () => {
    const shown = new URLSearchParams(location.search).get("tab") === KEY;
    const table = document.querySelector("table [data-sortkey=confidence]");
    if (!shown || !table) {
      if (frame) frame.remove();
      frame = null;
      return;
    }
    if (frame && frame.isConnected) return;
    frame = document.createElement("iframe");
    frame.title = "Traffic split, charts";
    frame.src = "./trafficsplit/?embedded";
    frame.style.cssText = "border:0;width:100%;height:1000px;margin-top:16px;display:block";
    const box = table.closest("table").parentElement;
    box.parentElement.insertBefore(frame, box.nextSibling);
  };
  addEventListener("message", (event) => {
    if (frame && event.source === frame.contentWindow && event.data.height) {
      frame.style.height = `${event.data.height}px`;
    }
  });
  new MutationObserver(place).observe(document.body, { childList: true, subtree: true });
  setInterval(place, 500); // the address may change without the page
})();
