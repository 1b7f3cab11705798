// Package sync copies an account's mailboxes into an archive.
//
// A [Job] is one run over one account: it connects, lists the mailboxes, and of
// those that changed compares the server's UIDs with the archive's, as sets.
// What is missing is cut into pieces, which as many workers as the account may
// have connections fetch and hand, in batches, to a [commit.Committer]. What the account's
// archive has already, from another mailbox, epoch or server, is matched by size,
// date and header, and linked instead. The committer
// commits batches of all workers and jobs as groups, one at a time. At the end
// the sets are compared again: the ledger of a run is that comparison, not a
// sum of what the run believes to have done.
//
// # Guarantees
//
// Nothing on the server is changed. Nothing a server answers is believed: a UID
// counts if it was asked for, a body if its octets are as many as announced, a
// message as gone only if a complete UID SEARCH no longer lists it. What can't
// be archived is recorded as failed with its reason, and tried again by every
// run; everything else goes on.
//
// Within this package the standard package of the same name is gosync.
package sync
