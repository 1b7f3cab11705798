// Package sync archives an account's mailboxes: it is the engine of a sync, and knows
// one account and one run.
//
// A [Job] is configured once and then run. A run connects, lists the mailboxes, and
// scans those that changed: it compares the server's UIDs with the recorded ones, as
// sets. Missing messages are cut into pieces, which as many workers as the account may
// have connections fetch, and submit in batches to a [commit.Committer]. A message that
// the account's archive has already, from another mailbox, UIDVALIDITY or server, is
// matched by size, date and header, and linked instead. At the end the sets are
// compared again: the ledger of a run is that comparison, not a sum of what the run
// believes to have done.
//
// # Data
//
// Three kinds of data are told apart by who may write them. A snapshot (what the server
// said) and a plan (what is to be done) are immutable once made. A worker, its task and
// its batch are owned by the worker's goroutine. The queue, the pool and the tally of a
// mailbox are each guarded by one mutex, which are locked in this order. Under none of
// them a network, disk or database call is made, but for the look-up of candidates in
// [queue.claim].
//
// # Guarantees
//
// Nothing on the server is changed. Nothing that a server says is believed: a UID
// counts if it was asked for, a body if it has as many octets as announced, a message
// as gone only if a complete UID SEARCH no longer lists it. What can't be archived is
// recorded as failed with its reason, and tried again by every run; everything else
// goes on.
//
// Within this package the standard package of the same name is gosync.
package sync
