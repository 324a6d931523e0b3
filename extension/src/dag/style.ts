// The style sheet of the picture, as one text: it travels in the bundle, since a notebook loads one file.
import base from "./style/base.css";
import header from "./style/header.css";
import panel from "./style/panel.css";
import scene from "./style/scene.css";
import timeline from "./style/timeline.css";

export const css = [base, header, scene, panel, timeline].join("");
