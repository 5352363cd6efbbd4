// The texts of the console, in Chinese and English; every key is in both.
import i18next from "i18next";
import { initReactI18next } from "react-i18next";

import { en } from "./texts.en";
import { zh } from "./texts.zh";

export type Language = "zh" | "en";
const STORED = "onefold-language";

export function storedLanguage(): Language {
  const stored = localStorage.getItem(STORED);
  if (stored === "zh" || stored === "en") return stored;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export function setLanguage(language: Language): void {
  localStorage.setItem(STORED, language);
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  void i18next.changeLanguage(language);
}

void i18next.use(initReactI18next).init({
  resources: { zh: { translation: zh }, en: { translation: en } },
  lng: storedLanguage(),
  fallbackLng: "en",
  interpolation: { escapeValue: false },
});
document.documentElement.lang = storedLanguage() === "zh" ? "zh-CN" : "en";

declare module "i18next" {
  interface CustomTypeOptions {
    resources: { translation: typeof en };
  }
}
