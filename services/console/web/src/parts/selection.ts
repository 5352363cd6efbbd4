// What is selected on a screen: it stays with its entry of the history, so that going back and
// forward, and loading the page again, restore it.
import { useLocation, useNavigate } from "react-router";

import { IN_PLACE } from "./address";

interface State {
  selected?: string[];
}

/** Returns the selected ids, and how they are set. */
export function useSelection(): [string[], (selected: string[]) => void] {
  const { search, hash, state } = useLocation();
  const navigate = useNavigate();
  const set = (selected: string[]) =>
    void navigate(
      { search, hash },
      { ...IN_PLACE, state: { ...(state as State | null), selected } },
    );
  return [(state as State | null)?.selected ?? [], set];
}
