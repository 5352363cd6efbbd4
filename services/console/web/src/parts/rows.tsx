// A table whose rows are cards on a telephone: each cell is a line after the title of its column.
import { Table, type TableProps } from "antd";
import type { HTMLAttributes } from "react";

export function Rows<T extends object>(props: TableProps<T>) {
  const { columns = [], ...others } = props;
  return (
    <Table<T>
      className="rows"
      scroll={{ x: true }}
      {...others}
      columns={columns.map((column) => ({ ...column, onCell: () => titled(column.title) }))}
    />
  );
}

/** Returns the attribute from which base.css writes the title before a cell. */
function titled(title: unknown): HTMLAttributes<HTMLElement> {
  const attributes = { "data-title": typeof title === "string" ? title : undefined };
  return attributes as HTMLAttributes<HTMLElement>;
}
