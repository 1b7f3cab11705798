package search

import (
	"fmt"

	"golang.org/x/text/unicode/norm"
)

// schemaVersion identifies the tables and the words in them. An index with another
// version is rebuilt. The version of Unicode is part of it: the next one may fold
// words differently.
var schemaVersion = "4, Unicode " + norm.Version

// secondBits is the number of bits below the seconds in a document's number: 256
// documents have numbers of one second, further ones get numbers of later seconds.
const secondBits = 8

// createMeta creates the first table. Its text is what an index is known by.
const createMeta = `CREATE TABLE meta (archive TEXT NOT NULL, schema TEXT NOT NULL)`

// schemaStatements create the tables.
//
// Times are seconds of Unix time. The time of an event is never less than the time of
// the event before, as in [archive.Archive.FoldAt].
//
// Table box has the mailboxes. The index has a mailbox's journal up to the position
// (size, seal); size 0 means that an update was interrupted and nothing counts.
//
// Table doc has the messages by SHA-256. The number of a document is a date in seconds,
// shifted by secondBits, and a counter. No place of it has a later date; low is the
// earliest date. attachment is [document.attachment]. read is 0 while no undamaged file
// of the message could be read; the document has no words then.
var schemaStatements = []string{
	createMeta,
	`CREATE TABLE box (id INTEGER PRIMARY KEY, dir TEXT NOT NULL UNIQUE, account TEXT NOT NULL,
		journal TEXT NOT NULL, size INTEGER NOT NULL, seal TEXT NOT NULL, latest INTEGER NOT NULL, places INTEGER NOT NULL)`,
	`CREATE TABLE epoch (box INTEGER NOT NULL, n INTEGER NOT NULL, opened INTEGER NOT NULL, ended INTEGER,
		mailbox BLOB NOT NULL, delimiter TEXT NOT NULL, raw INTEGER NOT NULL, PRIMARY KEY (box, n)) WITHOUT ROWID`,
	`CREATE TABLE doc (id INTEGER PRIMARY KEY, sum BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,
		low INTEGER NOT NULL, attachment INTEGER NOT NULL, read INTEGER NOT NULL)`,
	`CREATE INDEX doc_wide ON doc (low) WHERE low < (id >> ` + fmt.Sprint(secondBits) + `)`,
	`CREATE INDEX doc_unread ON doc (id) WHERE read = 0`,
	`CREATE TABLE flags (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)`,
	// The current row of a UID in an epoch has until IS NULL. Rows with until were
	// replaced then by another message with the same UID; they do not count as gone.
	`CREATE TABLE place (id INTEGER PRIMARY KEY, doc INTEGER NOT NULL, box INTEGER NOT NULL, epoch INTEGER NOT NULL,
		uid INTEGER NOT NULL, path TEXT NOT NULL, date INTEGER, zone INTEGER NOT NULL, flags INTEGER NOT NULL,
		added INTEGER NOT NULL, gone INTEGER, until INTEGER)`,
	`CREATE INDEX place_doc ON place (doc)`,
	`CREATE INDEX place_uid ON place (box, epoch, uid, doc)`,
	`CREATE INDEX place_flags ON place (flags, doc)`,
	// Each row has the flags that a place had before a change.
	`CREATE TABLE change (id INTEGER PRIMARY KEY, place INTEGER NOT NULL, at INTEGER NOT NULL, flags INTEGER NOT NULL)`,
	`CREATE INDEX change_place ON change (place)`,
	// The columns are those of document.words, rowid is the document's number. The table
	// stores only the index, not the text. The words are already folded: the tokenizer
	// only splits at spaces. The prefix indexes serve queries such as a*, which would
	// otherwise sort the rows of all words with this beginning.
	`CREATE VIRTUAL TABLE words USING fts5 (c0, c1, c2, c3, c4, c5, c6, c7, content='', contentless_delete=1, tokenize='ascii', prefix='1 2')`,
}
