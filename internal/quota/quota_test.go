package quota_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"archiverd/internal/quota"
	"archiverd/internal/testing/world"
	"archiverd/internal/uid"
)

// limit is the daily limit of the tests: bodies may use 9500 octets of it.
const limit = 10_000

// testQuota is a quota whose clock the test sets.
type testQuota struct {
	*quota.Quota
	t   *testing.T
	now time.Time
}

func newTestQuota(t *testing.T, w *world.World, limit int64) *testQuota {
	q := &testQuota{t: t, now: time.Date(2026, 11, 25, 10, 40, 0, 0, time.UTC)}
	q.Quota = quota.New("alice", limit, w.Committer.State, func() time.Time { return q.now })
	return q
}

// isExceeded reports whether the quota is exceeded now.
func (q *testQuota) isExceeded() bool {
	q.t.Helper()
	var exceeded *quota.ExceededError
	err := q.Check()
	if err != nil && !errors.As(err, &exceeded) {
		q.t.Fatal(err)
	}
	return err != nil
}

// reserve reserves a thousand octets for each message.
func (q *testQuota) reserve(ctx context.Context, set uid.Set) (uid.Set, *quota.Reservation, error) {
	return q.Reserve(ctx, set, func(uint32) int64 { return 1000 })
}

// TestQuotaRolls: a used quota is free again a day later. The next run has the same
// counts.
func TestQuotaRolls(t *testing.T) {
	w := world.New(t)
	q := newTestQuota(t, w, limit)
	q.Received.Add(9499)
	if q.isExceeded() {
		t.Error("exceeded one octet below the limit for bodies")
	}
	q.Received.Add(1)
	if !q.isExceeded() {
		t.Error("not exceeded at the limit for bodies")
	}
	q = newTestQuota(t, w, limit) // as of the next run
	until, err := q.ExceededUntil()
	if err != nil || !until.After(q.now.Add(23*time.Hour)) || until.After(q.now.Add(26*time.Hour)) {
		t.Fatalf("exceeded until %v, %v", until, err)
	}
	for _, need := range []int64{0, 9500, 1 << 40} { // never more than what a day frees
		if at, err := q.FreeAt(need); err != nil || at.Before(until) || at.After(q.now.Add(26*time.Hour)) {
			t.Errorf("%d octets are free at %v, %v", need, at, err)
		}
	}
	q.now = until
	if q.isExceeded() {
		t.Error("exceeded at the time that ExceededUntil returned")
	}
}

// TestNoLimit: without a limit the octets are counted, and nothing is refused.
func TestNoLimit(t *testing.T) {
	q := newTestQuota(t, world.New(t), 0)
	q.Received.Add(1 << 40)
	if q.isExceeded() {
		t.Error("exceeded without a limit")
	}
	all := uid.Of(1, 2, 3)
	part, r, err := q.reserve(t.Context(), all)
	if err != nil || part.String() != all.String() {
		t.Errorf("reserved %s, %v", part, err)
	}
	r.Release()
	if traffic, err := q.Flush(); err != nil || traffic.OctetsInDay(q.now) != 1<<40 {
		t.Errorf("%d octets counted, %v", traffic.OctetsInDay(q.now), err)
	}
}

// TestReserveWaitsForOthers: what does not fit beside another reservation waits until
// that is released.
func TestReserveWaitsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQuota(t, world.NewUnwatched(t), limit)
		all, err := uid.Parse("1:20")
		if err != nil {
			t.Fatal(err)
		}
		first, r, err := q.reserve(t.Context(), all)
		if err != nil || first.String() != "1:9" {
			t.Fatalf("reserved %s, %v", first, err)
		}
		var second uid.Set
		done := false
		go func() {
			var r *quota.Reservation
			second, r, err = q.reserve(t.Context(), all.Subtract(first))
			r.Release()
			done = true
		}()
		for range 2 { // received messages stay counted
			q.Received.Add(1000)
			r.Use(1000)
		}
		synctest.Wait()
		if done {
			t.Errorf("reserved %s beside %s: %v", second, first, err)
		}
		r.Release()
		synctest.Wait()
		if !done || err != nil || second.String() != "10:16" {
			t.Errorf("reserved %s, %v", second, err)
		}
	})
}

// TestReserveStopsWithItsContext: a Reserve whose context is done returns when it is
// woken.
func TestReserveStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQuota(t, world.NewUnwatched(t), limit)
		_, r, err := q.reserve(t.Context(), uid.Of(1, 2, 3, 4, 5, 6, 7, 8, 9))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Release()
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _, err = q.reserve(ctx, uid.Of(10)) }()
		synctest.Wait()
		cancel()
		r.Use(0)
		synctest.Wait()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
	})
}

// TestReserveRefuses: without other reservations a message that does not fit is refused,
// unless it never fits and half of the limit is free.
func TestReserveRefuses(t *testing.T) {
	for _, test := range []struct {
		name       string
		used, cost int64
		want       bool
	}{
		{"it fits", 8500, 1000, true},
		{"an octet too many", 8501, 1000, false},
		{"larger than the limit, all is free", 0, 20_000, true},
		{"larger than the limit, half is free", 4750, 20_000, true},
		{"larger than the limit, less is free", 4751, 20_000, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := newTestQuota(t, world.New(t), limit)
			q.Received.Add(test.used)
			part, r, err := q.Reserve(t.Context(), uid.Of(7, 8), func(uint32) int64 { return test.cost })
			defer r.Release()
			if test.want {
				if err != nil || part.String() != "7" {
					t.Errorf("reserved %s, %v", part, err)
				}
				return
			}
			var exceeded *quota.ExceededError
			if !errors.As(err, &exceeded) || exceeded.Limit != limit || exceeded.Need != test.cost {
				t.Errorf("reserved %s, %v", part, err)
			}
		})
	}
}
