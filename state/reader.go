package state

import (
	"errors"

	"go.etcd.io/bbolt"
)

// Reader is a state database opened for reading, while no writer has it open. The caller
// closes it.
type Reader struct{ bolt *bbolt.DB }

// OpenReader opens the database at path for reading. It may have another layout. The error
// wraps ErrLocked while a writer has it open, and fs.ErrNotExist if there is none.
func OpenReader(path string) (*Reader, error) {
	b, err := openBolt(path, true)
	if err != nil {
		return nil, err
	}
	return &Reader{b}, nil
}

// LastRuns returns the last runs of every account, newest first.
func (r *Reader) LastRuns() (map[string][]Run, error) {
	out := map[string][]Run{}
	err := viewBolt(r.bolt, func(tx *bbolt.Tx) error {
		b := tx.Bucket(runsBucket)
		if b == nil {
			return errors.New("no runs in it")
		}
		return b.ForEach(func(k, v []byte) error {
			runs, err := decodeRuns(v)
			out[string(k)] = runs
			return err
		})
	})
	return out, err
}

// Traffic returns what every account received lately.
func (r *Reader) Traffic() (map[string]Traffic, error) {
	out := map[string]Traffic{}
	err := viewBolt(r.bolt, func(tx *bbolt.Tx) error {
		b := tx.Bucket(trafficBucket)
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			out[string(k)] = decodeTraffic(v)
			return nil
		})
	})
	return out, err
}

// Close closes the database.
func (r *Reader) Close() error { return r.bolt.Close() }
