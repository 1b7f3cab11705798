package state

import (
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"archiverd/archive"
)

// getMark reads the last place in the archive's checkpoints that the database has
// learned; zero: none.
func getMark(tx *bbolt.Tx) (mark archive.CheckpointsMark, err error) {
	text := tx.Bucket(metaBucket).Get(checkpointsKey)
	if text == nil {
		return mark, nil
	}
	if err := json.Unmarshal(text, &mark); err != nil {
		return mark, fmt.Errorf("%w: place in the checkpoints: %w", ErrDamaged, err)
	}
	return mark, nil
}

// putMark stores the last durable place in the archive's checkpoints, unless the
// database has it. A place is learned only after the checkpoints' fsync: a place that is
// not in the file any more counts as a loss.
func (db *DB) putMark(tx *bbolt.Tx) error {
	mark := db.w.CheckpointsMark()
	if mark.ID == "" {
		return nil
	}
	known, err := getMark(tx)
	if err != nil || known == mark {
		return err
	}
	text, err := json.Marshal(mark)
	if err != nil {
		return err
	}
	return tx.Bucket(metaBucket).Put(checkpointsKey, text)
}

// LearnCheckpoints stores the last durable place in the archive's checkpoints. FinishRun
// does so too.
func (db *DB) LearnCheckpoints() error { return db.update(db.putMark) }

// readMark returns the place in the checkpoints that the open file has learned.
func readMark(bolt *bbolt.DB) (mark archive.CheckpointsMark, err error) {
	err = viewBolt(bolt, func(tx *bbolt.Tx) error {
		mark, err = getMark(tx)
		return err
	})
	return mark, err
}

// checkCheckpoints has the writer compare the checkpoints with what the database knows.
// If they are not what it knows, the writer writes nothing until its owner decides: CatchUp
// says so.
func (db *DB) checkCheckpoints(mark archive.CheckpointsMark) error {
	db.mark = mark
	if err := db.w.CheckCheckpoints(mark); err != nil && !errors.Is(err, archive.ErrLost) && !errors.Is(err, archive.ErrNewer) {
		return err
	}
	return nil
}
