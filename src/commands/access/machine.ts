/** The machine that the server runs on: what it is, what runs on it, and its power. */
export interface MachineAccess {}
