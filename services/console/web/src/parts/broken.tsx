// What is shown where a screen fails; after an upgrade the page is loaded again by itself, once.
import { Alert, Button } from "antd";
import { useTranslation } from "react-i18next";

/** The build of this page: the name of its file changes with its content. */
const BUILD = import.meta.url;
const TRIED = "onefold-loaded-again";

/** Loads the page again where a part of it is gone from the server, once a build. */
export function loadAgainAfterUpgrade(): void {
  addEventListener("vite:preloadError", (event) => {
    if (sessionStorage.getItem(TRIED) === BUILD) return;
    sessionStorage.setItem(TRIED, BUILD);
    event.preventDefault();
    location.reload();
  });
}

export function Broken() {
  const { t } = useTranslation();
  return (
    <Alert
      type="warning"
      showIcon
      title={t("broken")}
      description={t("brokenHint")}
      action={
        <Button type="primary" onClick={() => location.reload()}>
          {t("reload")}
        </Button>
      }
    />
  );
}
