package search

import (
	"fmt"

	"golang.org/x/text/unicode/norm"
)

// schemaVersion is the version of the tables and of the words in them: an index with
// another is made anew. A later Unicode may fold otherwise.
var schemaVersion = "3, Unicode " + norm.Version

// secondBits are the bits of a document's number below the seconds of its date: so
// many share a second before they count as later.
const secondBits = 8

// Seconds are Unix time; those of events are never less than those of an event
// before, as in [archive.Archive.FoldAt]. A mailbox counts up to position (size,
// seal) of its journal; size 0: what is known of it is not whole.
//
// A document's number is its date in seconds and secondBits more; that date is
// never before any of its places', low is the earliest of them. attachment is
// [document.attachment]; read is 0 while no good file of it could be read, and it
// has no words then.
var schemaStatements = []string{
	`CREATE TABLE meta (archive TEXT NOT NULL, schema TEXT NOT NULL)`,
	`CREATE TABLE box (id INTEGER PRIMARY KEY, dir TEXT NOT NULL UNIQUE, account TEXT NOT NULL,
		journal TEXT NOT NULL, size INTEGER NOT NULL, seal TEXT NOT NULL, latest INTEGER NOT NULL, places INTEGER NOT NULL)`,
	`CREATE TABLE epoch (box INTEGER NOT NULL, n INTEGER NOT NULL, opened INTEGER NOT NULL, ended INTEGER,
		mailbox BLOB NOT NULL, delimiter TEXT NOT NULL, raw INTEGER NOT NULL, PRIMARY KEY (box, n)) WITHOUT ROWID`,
	`CREATE TABLE doc (id INTEGER PRIMARY KEY, sum BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,
		low INTEGER NOT NULL, attachment INTEGER NOT NULL, read INTEGER NOT NULL)`,
	`CREATE INDEX doc_wide ON doc (low) WHERE low < (id >> ` + fmt.Sprint(secondBits) + `)`,
	`CREATE INDEX doc_unread ON doc (id) WHERE read = 0`,
	`CREATE TABLE flags (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)`,
	// A UID of an epoch has one row that goes on, until IS NULL; others were archived
	// before under the same UID, and are not counted as gone.
	`CREATE TABLE place (id INTEGER PRIMARY KEY, doc INTEGER NOT NULL, box INTEGER NOT NULL, epoch INTEGER NOT NULL,
		uid INTEGER NOT NULL, path TEXT NOT NULL, date INTEGER, zone INTEGER NOT NULL, flags INTEGER NOT NULL,
		added INTEGER NOT NULL, gone INTEGER, until INTEGER)`,
	`CREATE INDEX place_doc ON place (doc)`,
	`CREATE INDEX place_uid ON place (box, epoch, uid, doc)`,
	`CREATE INDEX place_flags ON place (flags, doc)`,
	// The flags of a place before they changed.
	`CREATE TABLE change (id INTEGER PRIMARY KEY, place INTEGER NOT NULL, at INTEGER NOT NULL, flags INTEGER NOT NULL)`,
	`CREATE INDEX change_place ON change (place)`,
	// A column each of document.words, by document number; nothing but the index of
	// words is stored. The words are made by folder, and cut at spaces here. Those that
	// begin with one or two characters are gathered: else all their places are put in
	// order first.
	`CREATE VIRTUAL TABLE words USING fts5 (c0, c1, c2, c3, c4, c5, c6, c7, content='', contentless_delete=1, tokenize='ascii', prefix='1 2')`,
}
