export * as v from "valibot";
export { AppError } from "../protocol/error.ts";
export { defineCommand, definePack, defineTask } from "./define.ts";
