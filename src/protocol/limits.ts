const KiB = 1024;
const MiB = 1024 * KiB;

/** The port of an address that names none, for servers and clients alike. */
export const DEFAULT_PORT = 9922;

/** Bytes of payload in one ledger record, and of one read from a pipe that is appended at once. */
export const MAX_PAYLOAD_BYTES = 64 * KiB;

/** Bytes of one control frame: room for a spawn with a large environment (Linux allows 128 KiB per string). */
export const MAX_CONTROL_FRAME_BYTES = 1 * MiB;

/** Bytes of one record at most. */
export const MAX_RECORD_BYTES = MAX_PAYLOAD_BYTES + 64;

/** Bytes of one data frame after its header: a few whole records, about what may be in flight at first. */
export const MAX_DATA_BYTES = 4 * MAX_RECORD_BYTES;

/** Depth of nested JSON that a control frame or a value may have; deeper input is refused before anything walks it. */
export const MAX_JSON_DEPTH = 64;
/** Keys and containers that JSON may have, in all: many times what any command takes. */
export const MAX_JSON_ITEMS = 65_536;
/** Places of 8 bytes that the engine may set aside for keys that are small numbers: 8 MiB. */
export const MAX_JSON_PLACES = 1_048_576;

/** Bytes of one value, which travels in several packets or over a channel where it takes more than one has room for. */
export const MAX_VALUE_BYTES = 24 * MiB;
/** Containers within one another in a value, and items in all: more takes the memory of whoever reads it. */
export const MAX_VALUE_DEPTH = 256;
export const MAX_VALUE_ITEMS = 1_048_576;
/** Items of one within a control frame: whoever reads that serves others besides, and takes about as long as for JSON there. */
export const MAX_FRAME_ITEMS = 65_536;
/** The same of what is written as JSON: less than that may have, as it stands within something else. */
export const MAX_PLAIN_DEPTH = 48;
export const MAX_PLAIN_ITEMS = 32_768;
export const MAX_PLAIN_PLACES = 262_144;
/** Items that a regular expression counts as, for the time that it takes to read one. */
export const REGEXP_ITEMS = 64;
/** Characters of one, which may all be brackets within one another. */
export const MAX_REGEXP_CHARACTERS = 65_536;
/** Named groups of one: each is compared with all others, and 1,500 of them take a second. */
export const MAX_NAMED_GROUPS = 100;
/** Bytes of a BigInt: 2^20 bits are the most that the language has. */
export const MAX_BIGINT_BYTES = 128 * KiB;

/** Sequenced control frames that may be unacknowledged in one direction; a full window stops the sender. */
export const CONTROL_WINDOW_FRAMES = 256;

/** Unacknowledged sequenced frames after which the receiver acknowledges at once instead of soon. */
export const ACK_EVERY_FRAMES = 32;

/** Milliseconds that an acknowledgement may wait for a frame to travel with. */
export const ACK_DELAY = 50;

/** Milliseconds that credit for less than an eighth of the window waits for more to be consumed. */
export const CREDIT_DELAY = 1;

/** Bytes of credit that a reader of a job's output grants beyond what it has consumed: a job's whole run-ahead. */
export const OUTPUT_WINDOW_BYTES = 4 * MiB;

/** Bytes of input that the keeper takes for a program that does not read it, beyond its pipe. */
export const INPUT_WINDOW_BYTES = 256 * KiB;
/** Bytes that all writers of a job share as their windows, and the least that each of many gets. */
export const JOB_INPUT_BYTES = 4 * MiB;
export const MIN_INPUT_WINDOW_BYTES = 4 * KiB;

/** Bytes in flight over all channels of a session until the measured rate allows more. */
export const FIRST_FLIGHT_BYTES = 256 * KiB;

/** Seconds' worth of the measured rate that may be in flight. */
export const FLIGHT_SECONDS = 0.5;

/** Milliseconds: the heartbeat interval a side offers, the smallest that may be settled, and the largest offer. */
export const HEARTBEAT_INTERVAL = 15_000;
export const MIN_HEARTBEAT_INTERVAL = 1_000;
export const MAX_HEARTBEAT_INTERVAL = 3_600_000;

/** Silent intervals after which a peer is lost. */
export const HEARTBEAT_PATIENCE = 3;

/** Milliseconds from the upgrade until the hello must have come. */
export const HELLO_TIMEOUT = 20_000;

/** Milliseconds from a connection until somebody is let in on it. */
export const LOGIN_GRACE = 20_000;
/** Connections on which nobody was let in yet: in all, of one source, and as many as none has to go for. */
export const MAX_STRANGERS = 100;
export const MAX_SOURCE_STRANGERS = 20;
export const SPARED_STRANGERS = 10;

/** Pings and pongs that a client may send at once, and in so many milliseconds. */
export const MAX_SIGNS = 120;
export const SIGNS_TIME = 60_000;

/** Bytes of an HTTP request's body, and milliseconds in which it must come. */
export const MAX_BODY_BYTES = 8 * KiB;
export const BODY_TIMEOUT = 10_000;

/** Calls that one session may have unanswered, and channels that it may have open. */
export const MAX_CALLS = 1_024;
export const MAX_CHANNELS = 1_024;

/** Milliseconds that a session is kept without a connection, and a hold without the client or the front that kept it. */
export const HOLD_GRACE = 120_000;

/** Milliseconds for which a client tries to restore a connection that was lost: as long as a server keeps the session. */
export const RECONNECT_WINDOW = HOLD_GRACE;

/** Sessions without a connection that a server keeps; the longest deserted go first. */
export const MAX_DESERTED_SESSIONS = 4_096;

/** Bytes an attached job runs ahead of its slowest holder at most (or half its budget, if that is less). */
export const RUN_AHEAD_BYTES = 4 * MiB;
/** The same of one on a terminal, where somebody waits for what he typed to take effect: a few screens. */
export const TERMINAL_RUN_AHEAD_BYTES = 256 * KiB;

/** Bytes of output kept per job unless told otherwise, and the least that may be asked for. */
export const DEFAULT_KEEP_BYTES = 64 * MiB;
export const MIN_KEEP_BYTES = 1 * MiB;

/** Bytes that one `send-input` gives in one piece. */
export const MAX_SEND_BYTES = 256 * KiB;

/** Bytes of a ledger segment: an eighth of the budget, within these bounds. */
export const MIN_SEGMENT_BYTES = 256 * KiB;
export const MAX_SEGMENT_BYTES = 8 * MiB;

/** Writers of input that a job remembers, the oldest forgotten first. */
export const MAX_WRITERS = 1_024;

/** Of a spawn: words of argv, environment entries, and bytes of all of them together (Linux allows about 2 MiB). */
export const MAX_ARGV = 16_384;
export const MAX_ENV = 4_096;

/** Milliseconds between TERM and KILL unless told otherwise, and the most that may be asked for. */
export const DEFAULT_GRACE = 5_000;
export const MAX_GRACE = 3_600_000;

/** Of a job's metadata: labels, characters of a label's name and value, of a key, and bytes of its free `info` as JSON. */
export const MAX_LABELS = 64;
export const MAX_LABEL_NAME = 63;
export const MAX_LABEL_VALUE = 256;
export const MAX_KEY = 255;
export const MAX_INFO_BYTES = 16 * KiB;

/** Characters of one text by which jobs are filtered: room for a long command line. */
export const MAX_FILTER_TEXT = 4 * KiB;

/** Milliseconds for which the id of a removed job is remembered. */
export const REMOVED_JOB_MEMORY = 24 * 3_600_000;

/** What all ledgers of a server may take together: this share of the file system, but never more than so many bytes. */
export const RETAINED_SHARE = 0.1;
export const MAX_RETAINED_BYTES = 10 * 1024 * MiB;

/**
 * Milliseconds after which a front asks a keeper for a sign of life, and intervals without an answer after which that counts
 * as unreached: 20 s after it froze. A keeper answers between two pieces of output, so that only one that is stopped, or
 * whose disk hangs in a write, takes so long; one that is given up wrongly loses nothing, since it is adopted again as soon
 * as it answers.
 */
export const LINK_BEAT = 5_000;
export const LINK_PATIENCE = 3;

/** Ended jobs that a server keeps unless told otherwise. */
export const MAX_RETAINED_JOBS = 10_000;

/** Workspaces of one user: those with a name that lasts, and private ones, which go when they are unused for so many ms. */
export const MAX_WORKSPACES = 256;
export const MAX_PRIVATE_WORKSPACES = 1_024;
export const PRIVATE_WORKSPACE_LIFE = 24 * 3_600_000;

/** What a workspace may set and unset: variables, and bytes of their names and values; and bytes over all of one user's. */
export const MAX_WORKSPACE_VARIABLES = 1_024;
export const MAX_WORKSPACE_BYTES = 256 * KiB;
export const MAX_WORKSPACES_BYTES = 16 * MiB;

/** Times that a token may be narrowed, entries of each list by which it is, and characters of it: a header has room for 16 KiB. */
export const MAX_TOKEN_LINKS = 8;
export const MAX_RESTRICTION_ITEMS = 64;
export const MAX_TOKEN_CHARACTERS = 8 * KiB;

/** Links of narrowed tokens, of those that were made from one, whose uses a server counts. */
export const MAX_COUNTED_LINKS = 10_000;

/** Bytes that a Unix socket's path may have on every system: 104 with its end on macOS, 108 on Linux. */
export const MAX_SOCKET_PATH = 103;

/** Bytes of a path that a caller writes: what Linux takes at most. */
export const MAX_PATH_BYTES = 4 * KiB;

/** Bytes of a foreground call's events, and of the bytes that a caller sends to one, that may wait for their reader. */
export const CALL_WINDOW_BYTES = 1 * MiB;
/** Bytes that the events of all calls of a session share as their windows, and the least that each of many gets. */
export const SESSION_EVENT_BYTES = 16 * MiB;
export const MIN_CALL_WINDOW_BYTES = 64 * KiB;

/** Bytes of the bundle of a task or an extension. */
export const MAX_MODULE_BYTES = 24 * MiB;

/** Of one task: executions that may wait, and bytes of arguments that the server holds for them. */
export const MAX_WAITING_EXECUTIONS = 1_024;
export const MAX_WAITING_BYTES = 8 * MiB;

/** Tasks of a server, those included that have ended; of these the oldest are forgotten first. */
export const MAX_TASKS = 1_024;
/** Bytes of bundles that no task uses; the oldest are removed first. */
export const MAX_UNUSED_MODULE_BYTES = 256 * MiB;
