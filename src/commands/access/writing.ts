/** What can be changed of files. */
export interface FileWriting {}
