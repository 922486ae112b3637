export * from "./engine.mjs";
import type { Millstream } from "./engine.mjs";
export declare const exchange: Millstream["exchange"];
export declare const parseMetainfo: Millstream["parseMetainfo"];
export declare const parseMagnet: Millstream["parseMagnet"];
export declare const create: Millstream["create"];
export declare const selftestDigest: Millstream["selftestDigest"];
export declare const version: Millstream["version"];
