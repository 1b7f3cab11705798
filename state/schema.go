package state

import (
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// schema is the version of the layout below. A database of another version is rebuilt.
const schema = "4"

// The top-level buckets. A new database has them all.
var (
	// metaBucket maps archiveKey to the archive's ID, schemaKey to schema, and
	// checkpointsKey to the last durable place in the checkpoints that the database
	// has learned, in JSON.
	metaBucket = []byte("meta")
	// mailboxesBucket has one bucket per mailbox, named by its directory. That
	// maps recordKey to a Mailbox in JSON and has uidsBucket, which maps a UID,
	// big-endian, to a kind and what is known of it (see uids.go).
	mailboxesBucket = []byte("mailboxes")
	uidsBucket      = []byte("uids") // not at the top level
	// againBucket, beside uidsBucket where there is something in it, maps a UID to an
	// Again.
	againBucket = []byte("again")
	// sumsBucket maps the first half of a SHA-256 to a DirID and the path there.
	sumsBucket = []byte("sums")
	// candidatesBucket has one bucket per account: INTERNALDATE, size and SHA-256
	// of its messages (see Key).
	candidatesBucket = []byte("candidates")
	// bufferBucket has what sumsBucket and candidatesBucket have yet to take in.
	bufferBucket = []byte("index_buffer")
	// directoriesBucket maps a DirID to the mailbox's directory.
	directoriesBucket = []byte("directories")
	// runsBucket maps an account to its last runs in JSON.
	runsBucket = []byte("runs")
	// trafficBucket maps an account to its Traffic in JSON.
	trafficBucket = []byte("traffic")

	topBuckets = [][]byte{metaBucket, mailboxesBucket, sumsBucket, candidatesBucket, bufferBucket, directoriesBucket, runsBucket, trafficBucket}

	archiveKey = []byte("archive")
	schemaKey  = []byte("schema")
	recordKey  = []byte("record")

	checkpointsKey = []byte("checkpoints")

	excludedKey = []byte("excluded") // of a mailbox: an excludedLine in JSON, if there is one
)

// checkLayout returns an error unless the open file has this layout and belongs to the
// archive.
func (db *DB) checkLayout() error {
	return viewBolt(db.bolt, func(tx *bbolt.Tx) error {
		b := tx.Bucket(metaBucket)
		if b == nil || string(b.Get(schemaKey)) != schema {
			return errors.New("its layout is of another version")
		}
		if id := string(b.Get(archiveKey)); id != db.w.ID() {
			return fmt.Errorf("it is of archive %s, not %s", id, db.w.ID())
		}
		return nil
	})
}

// uidKey is the key of a UID in uidsBucket.
func uidKey(u uint32) []byte { return binary.BigEndian.AppendUint32(nil, u) }
