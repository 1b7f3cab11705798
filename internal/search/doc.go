// Package search finds messages of an archive: by words in their header and text,
// by what the journals say of them, with an index or without one, and with the
// same answers.
//
// # Words
//
// One tokeniser, in words.go, makes words of everything: of what is asked for, of a
// message that is read, and of what goes into the index. A word is a run of
// letters, digits and marks, after case, accents and compatibility forms are taken
// away. Scripts that put no spaces between words (Chinese, Japanese, Korean, Thai,
// Lao, Khmer, Burmese) have a word a character, so that any part of a sentence is
// found. A word is found whole, or with a star by its beginning; several words in
// quotes, or joined by anything but a space, stand one behind the other.
//
// # What is searched
//
// A [Query] has conditions on the octets of a message (words, size, attachments)
// and on each place where the archive has them (mailbox, account, flags,
// INTERNALDATE). A message is found where all conditions hold for its octets and
// for one of its places among those that an [archive.Selection] means. Equal octets
// are found once, with all those places.
//
// # The index
//
// A file of SQLite's beside the state database. FTS5 holds the folded words of
// each message once, by SHA-256; its row numbers ascend with the date, so that the
// newest matches come first and the others need not be looked at. Tables beside it
// hold what the journals say, each mailbox up to a position that is proven by its
// seal, and what came later is folded over them when a search begins. So the
// index may be old, and answers are complete. It is never needed: what it lacks is
// read from the archive.
//
// Files: words.go makes words, parse.go and query.go a query, document.go reads a
// message, match.go compares, search.go searches and unindexed.go does so without an
// index; index_schema.go and index_file.go are the index as a file, index_mailbox.go
// what it knows of mailboxes, index_tail.go what a journal adds to that,
// index_search.go asks it, indexer.go keeps it.
package search
