// Package state keeps the state database: an index over an archive's journals. It
// answers, without reading a journal, which UIDs a mailbox has in the archive, which
// archived messages a new one may be equal to, and where octets of a SHA-256 lie.
//
// Only journals are true. The part of a mailbox records how far its journal has been
// applied, in the same transaction as what that much of it says. So committing, catching
// up after a crash and rebuilding after a loss are one operation, from different
// positions ([DB.Apply], [DB.CatchUp], [DB.Rebuild]).
//
// Besides that the database has, per mailbox, a [Cursor]: what the server said when the
// mailbox was last complete; and per account its last runs and the octets that it
// received in the last day. A loss of the database costs only these: the next run opens
// every mailbox but downloads nothing again, and a daily limit may be exceeded once.
//
// After an error of bbolt the database is broken and not used before [DB.Rebuild] has
// rebuilt it: a transaction that failed may stay visible, and a damaged file can fault
// in the middle of a read.
package state
