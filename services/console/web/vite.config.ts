import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// Few chunks with fixed names: an edit of one screen changes two files of the build.
const VENDORS: [string, RegExp][] = [
  ["antd", /node_modules\/(antd|@ant-design|@rc-component|rc-[^/]+|dayjs)\//],
  ["yaml", /node_modules\/yaml\//],
  ["core", /node_modules\//],
];

export default defineConfig({
  base: "/console/",
  plugins: [react()],
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    sourcemap: false,
    // The licences of the packages that the built files contain.
    license: { fileName: "licences.txt" },
    chunkSizeWarningLimit: 1500,
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: VENDORS.map(([name, test]) => ({ name, test })),
        },
      },
    },
  },
});
