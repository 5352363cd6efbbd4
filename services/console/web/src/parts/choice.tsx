// A box of a filter, whose choice is in the address.
import { Select } from "antd";

import { useAddress } from "./address";

/** `name`: its member of the address. Without a choice all is shown. */
export function Choice(props: {
  name: string;
  label: string;
  options: { value: string; label: string }[];
}) {
  const [search, set] = useAddress();
  return (
    <Select
      allowClear
      aria-label={props.label}
      placeholder={props.label}
      style={{ minWidth: 180 }}
      value={search.get(props.name) ?? undefined}
      onChange={(value: string | undefined) => set(props.name, value)}
      options={props.options}
    />
  );
}
