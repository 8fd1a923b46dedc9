export { type MirrorKind, OfflineEngine, type Send, SyncFault } from "./engine.ts";
export { type Entity, type Fields, type Kind, type Operation, type SetAside } from "./operations.ts";
export { MemoryStore, type Store, type Table, TABLES, type Transaction } from "./store.ts";
export { type Open, openBy, pullWhenTold } from "./listening.ts";
export { sendBy } from "./sending.ts";
