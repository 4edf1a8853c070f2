/** Names of commands of one's own, as they are written on the wire: lower case, with single dashes. */
export const COMMAND_NAME = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/;
export const MAX_COMMAND_NAME = 64;
