package state

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// Day is the time over which a daily limit is held: any 24 hours, whatever a
// provider calls a day.
const Day = 24 * time.Hour

// Traffic is what an account received lately, by the hour, ascending.
type Traffic []Hour

// Hour is the octets that came from the network in the hour from Start on.
type Hour struct {
	Start  time.Time `json:"start"`
	Octets int64     `json:"octets"`
}

// countsUntil is when no part of the hour lies in the day before any more.
func (h Hour) countsUntil() time.Time { return h.Start.Add(time.Hour + Day) }

// OctetsInDay is how many octets came in the 24 hours before now. An hour of which
// a part lies in them counts whole.
func (t Traffic) OctetsInDay(now time.Time) (octets int64) {
	for _, h := range t {
		if h.countsUntil().After(now) {
			octets += h.Octets
		}
	}
	return octets
}

// TimeBelow is when Within will be at most octets, if nothing more comes: now or later.
func (t Traffic) TimeBelow(now time.Time, octets int64) time.Time {
	left := t.OctetsInDay(now)
	at := now
	for _, h := range t {
		if left <= octets {
			break
		}
		if h.countsUntil().After(now) {
			left -= h.Octets
			at = h.countsUntil()
		}
	}
	return at
}

// Add returns t with octets that came at a time, and without what no longer
// counts. Hours to come are of a clock that was wrong, and would count for ever.
func (t Traffic) Add(at time.Time, octets int64) Traffic {
	start := at.UTC().Truncate(time.Hour)
	out := slices.DeleteFunc(slices.Clone(t), func(h Hour) bool { return !h.countsUntil().After(at) || h.Start.After(start) })
	if n := len(out); n > 0 && out[n-1].Start.Equal(start) {
		out[n-1].Octets += octets
		return out
	}
	return append(out, Hour{start, octets})
}

// accountTraffic is an account's in memory.
type accountTraffic struct {
	Traffic
	unsaved bool // not in the database yet
}

// AddTraffic records that an account received octets. They are written with the
// next Apply or FinishRun, in its transaction; until then they are in memory.
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

// Traffic is what the account received lately, hours that are still to come left out.
func (db *DB) Traffic(account string, now time.Time) (Traffic, error) {
	if err := db.loadTraffic(account); err != nil {
		return nil, err
	}
	db.trafficMu.Lock()
	defer db.trafficMu.Unlock()
	return db.traffic[account].Add(now, 0), nil
}

// loadTraffic reads an account's traffic the first time that it is asked for.
// No transaction runs while spent is held, since one may wait for it.
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

// decodeTraffic reads a value. What can't be read is forgotten: a limit may then
// be passed once.
func decodeTraffic(text []byte) (t Traffic) {
	if len(text) > 0 && json.Unmarshal(text, &t) != nil {
		return nil
	}
	return t
}

// storeTraffic writes what was spent since the last time. Call done with what
// became of the transaction.
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

// markTrafficUnsaved has all that is known of traffic written again: the database
// is another one.
func (db *DB) markTrafficUnsaved() {
	db.trafficMu.Lock()
	defer db.trafficMu.Unlock()
	for _, t := range db.traffic {
		t.unsaved = true
	}
}
