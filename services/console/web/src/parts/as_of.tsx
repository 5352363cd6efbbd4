// Chooses the instant as of which a screen shows its data; it is in the address.
import { Button, DatePicker, Slider, Space, Typography } from "antd";
import dayjs from "dayjs";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { useSearchParams } from "react-router";

import { instant, ZONE } from "../format";

import { IN_PLACE } from "./address";

/** Returns the instant in the address (Unix microseconds, 0 = now), and how it is changed. */
export function useAsOf(): [number, (us: number) => void] {
  const [search, setSearch] = useSearchParams();
  const set = (us: number) => {
    const next = new URLSearchParams(search);
    if (us) next.set("as_of", String(us));
    else next.delete("as_of");
    setSearch(next, IN_PLACE);
  };
  return [Number(search.get("as_of") ?? 0), set];
}

const HOUR_MS = 3_600_000;

/** `from`: the first instant that can be chosen with the slider, Unix microseconds; 0 = none. */
export function AsOf(props: { from: number }) {
  const { t, i18n } = useTranslation();
  const [asOf, setAsOf] = useAsOf();
  const [moved, setMoved] = useState<number | null>(null);
  const [now] = useState(() => Math.ceil(Date.now() / HOUR_MS));
  const first = Math.floor(props.from / 1000 / HOUR_MS);
  const shown = moved ?? (asOf ? Math.round(asOf / 1000 / HOUR_MS) : now);
  // What is moved stays until the address has it: until then the slider would go back, and a key
  // that is pressed meanwhile would move it from there.
  useEffect(() => {
    const hour = asOf ? Math.round(asOf / 1000 / HOUR_MS) : now;
    setMoved((old) => (old === hour ? null : old));
  }, [asOf]);
  const set = (us: number) => {
    setMoved(null);
    setAsOf(us);
  };
  return (
    <>
      <Space wrap>
        <label htmlFor="as-of">{t("asOf")}</label>
        <DatePicker
          id="as-of"
          showTime
          placeholder={t("now")}
          value={asOf ? dayjs(asOf / 1000) : null}
          disabledDate={(day) => day.isAfter(dayjs())}
          onChange={(value) => set(value ? value.valueOf() * 1000 : 0)}
        />
        <Button onClick={() => set(dayjs().subtract(1, "day").valueOf() * 1000)}>
          {t("yesterday")}
        </Button>
        {asOf > 0 && <Button onClick={() => set(0)}>{t("now")}</Button>}
        <Typography.Text type="secondary">
          {asOf ? t("asOfHint") : ""} {ZONE}
        </Typography.Text>
      </Space>
      {props.from > 0 && first < now && (
        <Slider
          style={{ maxWidth: 640 }}
          ariaLabelForHandle={t("asOf")}
          min={first}
          max={now}
          value={shown}
          tooltip={{ formatter: (hour) => instant((hour ?? 0) * HOUR_MS * 1000, i18n.language) }}
          onChange={setMoved}
          onChangeComplete={(hour) => setAsOf(hour >= now ? 0 : hour * HOUR_MS * 1000)}
        />
      )}
    </>
  );
}
