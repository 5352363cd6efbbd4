// The filters of a screen, which are in its address: a link shows another person the same.
import { useSearchParams } from "react-router";

/** How an address is set that stays one entry of the history, and that moves nothing on the screen. */
export const IN_PLACE = { replace: true, preventScrollReset: true };

/** Returns the query of the address, and how a member of it is set; empty removes it. */
export function useAddress(): [URLSearchParams, (name: string, value: string | undefined) => void] {
  const [search, setSearch] = useSearchParams();
  const set = (name: string, value: string | undefined) => {
    const next = new URLSearchParams(search);
    if (value) next.set(name, value);
    else next.delete(name);
    setSearch(next, IN_PLACE);
  };
  return [search, set];
}
