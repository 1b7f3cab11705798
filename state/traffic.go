package state

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// Day is the time for which a daily limit holds: any 24 hours, whatever a provider calls a
// day.
const Day = 24 * time.Hour

// Traffic is what an account received from the network lately, by hour, ascending.
type Traffic []Hour

// Hour is the number of octets received in the hour that begins at Start.
type Hour struct {
	Start  time.Time `json:"start"`
	Octets int64     `json:"octets"`
}

// countsUntil is when the last part of the hour is a Day ago.
func (h Hour) countsUntil() time.Time { return h.Start.Add(time.Hour + Day) }

// OctetsInDay returns how many octets were received in the 24 hours before now. An hour
// that is partly in them counts whole.
func (t Traffic) OctetsInDay(now time.Time) (octets int64) {
	for _, h := range t {
		if h.countsUntil().After(now) {
			octets += h.Octets
		}
	}
	return octets
}

// TimeBelow returns when OctetsInDay will be at most octets, if nothing more is received:
// now or later.
func (t Traffic) TimeBelow(now time.Time, octets int64) time.Time {
	sum := t.OctetsInDay(now)
	at := now
	for _, h := range t {
		if sum <= octets {
			break
		}
		if h.countsUntil().After(now) {
			sum -= h.Octets
			at = h.countsUntil()
		}
	}
	return at
}

// Add returns t with octets that were received at a time, and without hours that no longer
// count. Hours in the future are dropped too: a clock was wrong, and they would count for
// too long.
func (t Traffic) Add(at time.Time, octets int64) Traffic {
	start := at.UTC().Truncate(time.Hour)
	out := slices.DeleteFunc(slices.Clone(t), func(h Hour) bool { return !h.countsUntil().After(at) || h.Start.After(start) })
	if n := len(out); n > 0 && out[n-1].Start.Equal(start) {
		out[n-1].Octets += octets
		return out
	}
	return append(out, Hour{start, octets})
}

// accountTraffic is the traffic of an account in memory.
type accountTraffic struct {
	Traffic
	unsaved bool // the database has it not yet
}

// AddTraffic records that an account received octets. They are stored by the next Apply or
// FinishRun, in its transaction; until then they are only in memory.
func (db *DB) AddTraffic(account string, at time.Time, octets int64) error {
	if err := db.loadTraffic(account); err != nil {
		return err
	}
	db.trafficMu.Lock()
	defer db.trafficMu.Unlock()
	t := db.traffic[account]
	t.Traffic, t.unsaved = t.Traffic.Add(at, octets), true
	return nil
}

// Traffic returns what the account received lately, as of now.
func (db *DB) Traffic(account string, now time.Time) (Traffic, error) {
	if err := db.loadTraffic(account); err != nil {
		return nil, err
	}
	db.trafficMu.Lock()
	defer db.trafficMu.Unlock()
	return db.traffic[account].Add(now, 0), nil
}

// loadTraffic reads an account's traffic from the database, once. It holds trafficMu during
// no transaction, because a write transaction may wait for that mutex.
func (db *DB) loadTraffic(account string) error {
	db.trafficMu.Lock()
	known := db.traffic[account] != nil
	db.trafficMu.Unlock()
	if known {
		return nil
	}
	t := &accountTraffic{}
	err := db.view(func(tx *bbolt.Tx) error {
		t.Traffic = decodeTraffic(tx.Bucket(trafficBucket).Get([]byte(account)))
		return nil
	})
	if err != nil {
		return err
	}
	db.trafficMu.Lock()
	defer db.trafficMu.Unlock()
	if db.traffic == nil {
		db.traffic = map[string]*accountTraffic{}
	}
	if db.traffic[account] == nil {
		db.traffic[account] = t
	}
	return nil
}

// decodeTraffic decodes a value of trafficBucket. One that can't be decoded is dropped: a
// daily limit may be exceeded once.
func decodeTraffic(text []byte) (t Traffic) {
	if len(text) > 0 && json.Unmarshal(text, &t) != nil {
		return nil
	}
	return t
}

// storeTraffic stores the unsaved traffic. The caller then calls done with the result of
// the transaction.
func (db *DB) storeTraffic(tx *bbolt.Tx) (done func(error), err error) {
	db.trafficMu.Lock()
	defer db.trafficMu.Unlock()
	var written []*accountTraffic
	done = func(err error) {
		db.trafficMu.Lock()
		defer db.trafficMu.Unlock()
		for _, t := range written {
			t.unsaved = t.unsaved || err != nil
		}
	}
	for account, t := range db.traffic {
		if !t.unsaved {
			continue
		}
		text, err := json.Marshal(t.Traffic)
		if err == nil {
			err = tx.Bucket(trafficBucket).Put([]byte(account), text)
		}
		if err != nil {
			return done, fmt.Errorf("traffic of %s: %w", account, err)
		}
		t.unsaved = false
		written = append(written, t)
	}
	return done, nil
}

// markTrafficUnsaved makes the next transaction store all traffic: the database is a new
// one.
func (db *DB) markTrafficUnsaved() {
	db.trafficMu.Lock()
	defer db.trafficMu.Unlock()
	for _, t := range db.traffic {
		t.unsaved = true
	}
}
