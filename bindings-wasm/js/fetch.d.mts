import type { Engine } from "./engine.mjs";

/** A link to a web server by `fetch`, for the effect `connectHttp`. Give it its `interest` and `close`. */
export declare class FetchLink {
  constructor(
    engine: Pick<Engine, "answered" | "handleReceived" | "closed" | "drained">,
    effect: { conn: number; url: string; range: [number, number] | null },
    options?: { clock?: () => number; changed?: () => void },
  );
  /** Read so far, and no further. */
  interest(readUntil: number): void;
  /** Give it up; `drained` is told. */
  close(): void;
}
