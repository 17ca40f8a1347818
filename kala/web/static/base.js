// What all is made with, under one name. It is sent as one script, made of these in this order: a browser has some
// milliseconds of work for each. So no two of them have a name in common, and only they import each other by their own names.

export * from "./dom.js";
export * from "./time.js";
export * from "./states.js";
export * from "./api.js";
export * from "./keys.js";
export * from "./reader.js";
export * from "./dialog.js";
export * from "./notice.js";
export * from "./store.js";
export * from "./router.js";
