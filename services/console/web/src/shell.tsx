// The frame of every screen: the menu, the session and the language.
import { Button, Flex, Layout, Menu, Space, Tag, Typography } from "antd";
import { useTranslation } from "react-i18next";
import { Link, Outlet, ScrollRestoration, useLocation } from "react-router";

import { setLanguage } from "./i18n";
import { PAPER } from "./parts/colours";
import { useSession } from "./session";
import { word } from "./words";

const SCREENS = [
  ["", "home"],
  ["dashboards", "dashboards"],
  ["profiles", "profiles"],
  ["identity", "identity"],
  ["segments", "segments"],
  ["tags", "tags"],
  ["journeys", "journeys"],
  ["offers", "offers"],
  ["tickets", "tickets"],
  ["quarantine", "quarantine"],
  ["destinations", "destinations"],
  ["deliveries", "deliveries"],
  ["privacy", "privacy"],
  ["sources", "sources"],
  ["events", "liveEvents"],
  ["definitions", "definitions"],
] as const;

export function Shell() {
  const { t, i18n } = useTranslation();
  const { caller, logOut } = useSession();
  const at = useLocation().pathname.split("/")[1] ?? "";
  const other = i18n.language === "zh" ? "en" : "zh";
  return (
    <Layout style={{ minHeight: "100vh" }}>
      <Layout.Sider theme="light" breakpoint="lg" collapsedWidth={0}>
        <nav aria-label={t("menu")}>
          <Typography.Title level={4} style={{ margin: "16px 24px" }}>
            {t("app")}
          </Typography.Title>
          <Menu
            mode="inline"
            selectedKeys={[at]}
            items={SCREENS.map(([path, name]) => ({
              key: path,
              label: (
                <Link to={`/${path}`} style={{ textDecoration: "none" }}>
                  {t(name)}
                </Link>
              ),
            }))}
          />
        </nav>
      </Layout.Sider>
      <Layout>
        <Flex
          component="header"
          justify="end"
          wrap
          gap="small"
          style={{ padding: "12px 24px", background: PAPER }}
        >
          <Space wrap>
            <Tag>{caller.workspace_id}</Tag>
            <Tag>{word(caller.role, "ROLE_", i18n.language)}</Tag>
            <Button onClick={() => setLanguage(other)}>{t("language")}</Button>
            <Button onClick={logOut}>{t("logOut")}</Button>
          </Space>
        </Flex>
        <Layout.Content style={{ padding: 24 }}>
          <Outlet />
          <ScrollRestoration />
        </Layout.Content>
      </Layout>
    </Layout>
  );
}
