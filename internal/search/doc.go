// Package search finds messages in an archive, by the words of their header and
// text and by what the journals record about them. A search gives the same
// results with an index and without one.
//
// # Words
//
// One tokeniser (words.go) turns queries, messages and the contents of the index
// into words. A word is a run of letters, digits and marks, without case, accents
// and compatibility forms. In scripts that put no spaces between words (Chinese,
// Japanese, Korean, Thai, Lao, Khmer, Burmese) each character is a word, so that
// any part of a sentence is found. A word matches as a whole or, with a star, by
// its beginning. Words in quotes, and words joined by anything but a space, must
// follow one another.
//
// # What is searched
//
// A [Query] has terms about the octets of a message (words, size, attachments) and
// terms about a place, which is a UID of a mailbox that has these octets (mailbox,
// account, flags, INTERNALDATE). A message matches if the terms about octets hold
// and the terms about places hold for one place that the [archive.Selection]
// contains. Equal octets are one result with all matching places.
//
// # The index
//
// The index is an SQLite file beside the state database. An FTS5 table has the
// words of each message once, by SHA-256. Document numbers ascend with the date: a
// search for the newest results stops early. Other tables have the contents of the
// journals, for each mailbox up to a position that its seal proves. A search
// replays the rest of each journal over them, so an index that is out of date still
// gives complete results.
//
// The index holds nothing that the archive lacks. A search reads messages that are
// not indexed from the archive, and an index that is missing or damaged is rebuilt.
//
// The package does not rank results, does not stem words and does not search
// inside attachments.
package search
