// Package archive keeps mail on disk: the directory that docs/format.md
// describes. It knows no IMAP and no database; everything else can be lost and
// made again from what this package wrote.
//
// # Layout
//
// An [Archive] is a directory. Each account has a directory in it, each mailbox
// one below that, with its children nested in it. A mailbox directory holds
// journal.jsonl, what happened there in order, tmp/, files being received, and
// a directory a month with the messages. Only the journal says what is
// archived; a file that no journal names is a leftover.
//
// # Guarantees
//
// A message whose line stands in a sealed part of a journal is on disk, whole.
// A [Batch] receives messages into tmp/, [Writer.Commit] makes a group of
// batches durable in the one order that crashes and failing disks allow: data,
// names, journal. A batch is there wholly or not at all. Nothing in this
// package deletes a message or changes a journal's sealed part.
//
// All access goes through one [os.Root]: no mailbox name, link or race leads
// out of the directory.
//
// # What it does not do
//
// It does not fetch, match, index or schedule, and it trusts its caller that the
// octets handed to [Batch.Add] are the message.
package archive
