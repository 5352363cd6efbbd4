import { LoadingOutlined } from "@ant-design/icons";
import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { App, ConfigProvider, theme } from "antd";
import enGB from "antd/locale/en_GB";
import zhCN from "antd/locale/zh_CN";
import { type ComponentType, lazy, StrictMode, Suspense } from "react";
import { createRoot } from "react-dom/client";
import { useTranslation } from "react-i18next";
import { createBrowserRouter, RouterProvider } from "react-router";

import { CallError } from "./api/client";
import { noteFailure } from "./api/session_end";
import "./i18n";
import "./base.css";
import { Broken, loadAgainAfterUpgrade } from "./parts/broken";
import { useIsDark } from "./parts/colours";
import { SessionGate } from "./session";
import { Shell } from "./shell";

const queries = new QueryClient({
  queryCache: new QueryCache({ onError: noteFailure }),
  mutationCache: new MutationCache({ onError: noteFailure }),
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      retry: (count, error) =>
        count < 2 && error instanceof CallError && error.code === "unavailable",
    },
  },
});

/** A screen that is loaded when it is opened. While the page is loaded again after an upgrade, the
    import has no result, and nothing is shown. */
function screen(load: () => Promise<{ default: ComponentType }>) {
  return lazy(() =>
    load().then((module?: { default: ComponentType }) => module ?? new Promise<never>(() => {})),
  );
}

const screens = {
  dashboards: screen(() => import("./screens/dashboards")),
  dashboard: screen(() => import("./screens/dashboard")),
  home: screen(() => import("./screens/home")),
  profiles: screen(() => import("./screens/profiles")),
  profile: screen(() => import("./screens/profile")),
  segments: screen(() => import("./screens/segments")),
  builder: screen(() => import("./screens/segment_builder")),
  identity: screen(() => import("./screens/identity")),
  graph: screen(() => import("./screens/identity_graph")),
  events: screen(() => import("./screens/events")),
  journeys: screen(() => import("./screens/journeys")),
  tickets: screen(() => import("./screens/tickets")),
  ticket: screen(() => import("./screens/tickets/ticket")),
  known: screen(() => import("./screens/known")),
  offers: screen(() => import("./screens/offers")),
  journey: screen(() => import("./screens/journey")),
  destinations: screen(() => import("./screens/destinations")),
  definitions: screen(() => import("./screens/definitions")),
  segment: screen(() => import("./screens/segment")),
  tags: screen(() => import("./screens/tags")),
  quarantine: screen(() => import("./screens/quarantine")),
  deliveries: screen(() => import("./screens/deliveries")),
  privacy: screen(() => import("./screens/privacy")),
  sources: screen(() => import("./screens/sources")),
};

function shown(name: keyof typeof screens) {
  const Screen = screens[name];
  return (
    <Suspense>
      <Screen />
    </Suspense>
  );
}

const router = createBrowserRouter(
  [
    {
      element: <Shell />,
      errorElement: <Broken />,
      children: [
        { index: true, element: shown("home") },
        { path: "dashboards", element: shown("dashboards") },
        { path: "dashboards/:id", element: shown("dashboard") },
        { path: "profiles", element: shown("profiles") },
        { path: "profiles/:id", element: shown("profile") },
        { path: "profiles/:id/known", element: shown("known") },
        { path: "segments", element: shown("segments") },
        { path: "segments/new", element: shown("builder") },
        { path: "segments/:id", element: shown("segment") },
        { path: "segments/:id/edit", element: shown("builder") },
        { path: "identity", element: shown("identity") },
        { path: "identity/:id", element: shown("graph") },
        { path: "events", element: shown("events") },
        { path: "journeys", element: shown("journeys") },
        { path: "journeys/:id", element: shown("journey") },
        { path: "tickets", element: shown("tickets") },
        { path: "tickets/:id", element: shown("ticket") },
        { path: "offers", element: shown("offers") },
        { path: "destinations", element: shown("destinations") },
        { path: "definitions/:kind?/:id?", element: shown("definitions") },
        { path: "tags", element: shown("tags") },
        { path: "quarantine", element: shown("quarantine") },
        { path: "deliveries", element: shown("deliveries") },
        { path: "privacy", element: shown("privacy") },
        { path: "sources", element: shown("sources") },
        { path: "*", element: shown("home") },
      ],
    },
  ],
  { basename: "/console" },
);

// With enough contrast for people with weak eyes, on white and on black.
const LIGHT = { ...greys("#595959"), colorPrimary: "#0958d9", colorLink: "#0958d9", colorTextPlaceholder: "#6b6b6b" };
const DARK = { ...greys("#bfbfbf"), colorPrimary: "#1668dc", colorLink: "#69b1ff", colorTextPlaceholder: "#a6a6a6" };

function greys(colour: string) {
  return { colorTextSecondary: colour, colorTextDescription: colour, colorTextTertiary: colour };
}

// A link in a text is known by its line, for people who do not see its colour.
const LINKS = {
  linkDecoration: "underline",
  linkHoverDecoration: "underline",
  linkFocusDecoration: "underline",
};
// The icon is no part of the name of a button, and it goes without a transition: one that is
// interrupted has no end, and the icon would stay.
const BUTTON = { autoInsertSpace: false, loadingIcon: <LoadingOutlined aria-hidden /> };
// A cell breaks no word, or a Chinese name would be a column of single letters.
const TABLE = { style: { wordBreak: "keep-all" } } as const;
const nonce = document.querySelector<HTMLMetaElement>("meta[name=csp-nonce]")?.content ?? "";

function Root() {
  const { i18n } = useTranslation();
  const isDark = useIsDark();
  const chosen = { itemSelectedColor: (isDark ? DARK : LIGHT).colorLink };
  return (
    <ConfigProvider
      csp={{ nonce }}
      locale={i18n.language === "zh" ? zhCN : enGB}
      button={BUTTON}
      table={TABLE}
      theme={{
        algorithm: isDark ? theme.darkAlgorithm : theme.defaultAlgorithm,
        token: { ...(isDark ? DARK : LIGHT), ...LINKS },
        components: { Menu: chosen, Tabs: chosen },
      }}
    >
      <App>
        <QueryClientProvider client={queries}>
          <SessionGate>
            <RouterProvider router={router} />
          </SessionGate>
        </QueryClientProvider>
      </App>
    </ConfigProvider>
  );
}

loadAgainAfterUpgrade();
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <Root />
  </StrictMode>,
);
