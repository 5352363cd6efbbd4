// The session: whose key the browser has, and the page that begins it.
import { Alert, Button, Card, Flex, Form, Input, Typography } from "antd";
import { createContext, type ReactNode, use, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";

import { CallError, callPatiently, type Schemas, send } from "./api/client";
import { onSessionEnd } from "./api/session_end";
import { removeDrafts } from "./parts/draft";
import { useFailureText } from "./parts/states";

type Caller = Required<Schemas["ingest.v1.GetCallerResponse"]>;
const Session = createContext<{ caller: Caller; logOut: () => void } | null>(null);

export function useSession() {
  const session = use(Session);
  if (!session) throw new Error("there is no session");
  return session;
}

/** Takes the key of a login link out of the address, so that it is in no history. */
function takeLink(): string | null {
  const link = new URLSearchParams(location.hash.slice(1)).get("once");
  if (link) history.replaceState(null, "", location.pathname + location.search);
  return link;
}

export function SessionGate(props: { children: ReactNode }) {
  const [caller, setCaller] = useState<Caller | null>();
  const [failure, setFailure] = useState<unknown>(null);
  /** Whether the session could not be looked up: it may go on, so no key is asked for. */
  const [isAway, setAway] = useState(false);
  const { t } = useTranslation();
  const text = useFailureText();

  const begin = async (key: string, once: boolean) => {
    setFailure(null);
    try {
      setCaller((await send("POST", "/console/session", { key, once })) as Caller);
    } catch (error) {
      setCaller(null);
      setFailure(once && error instanceof CallError && error.reason ? t("loginLinkUsed") : error);
    }
  };

  useEffect(() => onSessionEnd(() => {
    setCaller(null);
    setFailure(t("sessionEnded"));
  }), [t]);
  const goOn = async () => {
    setAway(false);
    try {
      setCaller(await callPatiently("/api/ingest/GetCaller", {}));
    } catch (error) {
      const isEnded = error instanceof CallError && error.code === "unauthenticated";
      if (isEnded) setCaller(null);
      else setFailure(error);
      setAway(!isEnded);
    }
  };
  useEffect(() => {
    const link = takeLink();
    void (link ? begin(link, true) : goOn());
  }, []);

  if (isAway)
    return (
      <Alert
        type="error"
        showIcon
        style={{ margin: 24 }}
        title={t("failed")}
        description={text(failure)}
        action={<Button onClick={() => void goOn()}>{t("retry")}</Button>}
      />
    );
  if (caller === undefined) return null;
  if (caller) {
    const logOut = () => {
      removeDrafts();
      void send("DELETE", "/console/session", {}).finally(() => setCaller(null));
    };
    return <Session value={{ caller, logOut }}>{props.children}</Session>;
  }
  return (
    <Flex justify="center" style={{ padding: "12vh 16px" }}>
      <Card title={t("app")} style={{ width: 420 }}>
        <Typography.Paragraph type="secondary">{t("loginHint")}</Typography.Paragraph>
        {failure != null && (
          <Alert
            type="error"
            showIcon
            style={{ marginBottom: 16 }}
            title={typeof failure === "string" ? failure : text(failure)}
          />
        )}
        <Form
          layout="vertical"
          onFinish={({ key }: { key: string }) => void begin(key.trim(), false)}
        >
          <Form.Item name="key" label={t("key")} rules={[{ required: true, message: "" }]}>
            <Input.Password autoFocus autoComplete="off" />
          </Form.Item>
          <Button type="primary" htmlType="submit" block>
            {t("logIn")}
          </Button>
        </Form>
      </Card>
    </Flex>
  );
}
