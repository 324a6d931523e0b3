// The style sheet of the picture, as one text: it travels in the bundle, since a notebook loads one file.
import { STATE_ICONS } from "./icons";
import base from "./style/base.css";
import header from "./style/header.css";
import panel from "./style/panel.css";
import scene from "./style/scene.css";
import timeline from "./style/timeline.css";

/** From afar a node's icon is a background: thousands of drawings would each be a layer to sort in every frame. */
const marks = (theme: string, ink: string): string =>
  Object.entries(STATE_ICONS)
    .map(([state, path]) => {
      const drawing = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" width="34" height="34" fill="none" stroke="${ink}" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round"><path d="${path}"/></svg>`;
      return `.szal-dag${theme} [data-state="${state}"]{--mark:url("data:image/svg+xml,${encodeURIComponent(drawing)}")}`;
    })
    .join("");

export const css = [
  base,
  header,
  scene,
  panel,
  timeline,
  marks("", "#fbfaf8"),
  marks('[data-theme="dark"]', "#1d1f22"),
].join("");
