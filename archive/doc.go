// Package archive stores mail on disk, in the directory that docs/format.md describes.
// It knows neither IMAP nor a database: everything else that archiverd stores can be
// rebuilt from what this package writes.
//
// # Layout
//
// An [Archive] is a directory. Each account has a directory in it, and each mailbox has a
// [MailboxDir] below that, with its child mailboxes nested in it. A mailbox directory
// holds journal.jsonl, which records what happened in order; tmp/ for files that are
// being received; and one directory per month with the messages. Only a journal says what
// is archived: a file that no journal names is a leftover.
//
// # Reading
//
// A journal is replayed ([Archive.Replay]), and its events are visited ([Visitor]): a
// [View] is a mailbox folded from its journal, [ViewSets] is the same as UID sets.
// [Archive.Verify] compares journals with files.
//
// # Writing and guarantees
//
// A [Batch] receives messages into tmp/, and [Writer.Commit] makes a group of batches
// durable in the one order that crashes and failing disks allow: data, names, journals. A
// message whose line is in the sealed part of a journal is on disk, whole. A batch is
// committed wholly or not at all. Nothing in this package deletes a message or changes
// the sealed part of a journal.
//
// All access goes through one [os.Root]: no mailbox name, link or race leads out of the
// directory.
//
// # Limits
//
// This package does not fetch, match, index or schedule. It trusts its caller that the
// octets given to [Batch.Add] are the message's.
package archive
