// What parts and views are made with, under one name.

export * from "./api.js";
export * from "./dialog.js";
export * from "./dom.js";
export * from "./keys.js";
export * from "./notice.js";
export * from "./reader.js";
export * from "./router.js";
export * from "./states.js";
export * from "./store.js";
export * from "./time.js";
