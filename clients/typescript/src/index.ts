export type { components, paths } from "../generated/api.ts";
export { type ClientOptions, createCymba, type CymbaClient, signedFetch } from "./client.ts";
export { eventsOf, type ServerEvent } from "./events.ts";
export { codeOf, dataOf, type Problem, type ProblemCode, ProblemError } from "./problems.ts";
export { confirm, type DeviceStore, type Person, requestCode, signIn } from "./signing_in.ts";
export { SignedOut, SignIn, type TokenPair, type TokenStore } from "./sign_in.ts";
