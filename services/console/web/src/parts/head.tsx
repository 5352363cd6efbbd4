// The head of a screen: its title, and what can be done there.
import { Flex } from "antd";
import type { ReactNode } from "react";

export function Head(props: { children: ReactNode }) {
  return (
    <Flex justify="space-between" align="center" wrap gap="small" style={{ marginBottom: 8 }}>
      {props.children}
    </Flex>
  );
}
