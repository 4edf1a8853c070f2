/** Where somebody may not go. It is raised before anything there is looked at, and so tells nothing of it. */
export class OutsideError extends Error {
  /** What is said of it, such as `is the server's own`. */
  readonly fault: string;

  constructor(fault: string) {
    super(`It ${fault}`);
    this.fault = fault;
  }
}
