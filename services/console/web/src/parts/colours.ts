// The colours of what the component library does not draw, on light and on dark screens.
import { useSyncExternalStore } from "react";

export const GREEN = "light-dark(#237804, #95de64)";
export const RED = "light-dark(#a8071a, #ff7875)";
export const BLUE = "light-dark(#0958d9, #69b1ff)";
export const BROWN = "light-dark(#8c4a00, #ffc069)";
export const VIOLET = "light-dark(#531dab, #b37feb)";
export const GREY = "light-dark(#595959, #bfbfbf)";
export const LINE = "#8c8c8c";
export const TEXT = "light-dark(#262626, #e8e8e8)";
export const PAPER = "light-dark(#ffffff, #141414)";
export const CHOSEN = "light-dark(#e6f4ff, #111d2c)";

// What is printed is dark on white paper.
const DARK = matchMedia("screen and (prefers-color-scheme: dark)");

/** Returns whether the person has a dark screen. */
export function useIsDark(): boolean {
  return useSyncExternalStore(
    (changed) => {
      DARK.addEventListener("change", changed);
      return () => DARK.removeEventListener("change", changed);
    },
    () => DARK.matches,
  );
}
