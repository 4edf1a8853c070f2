/** The server itself. */
export interface ServerAccess {}
