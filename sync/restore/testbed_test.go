package restore

import (
	"testing"

	"archiverd/internal/session"
	"archiverd/internal/testing/world"
	"archiverd/state"
	"archiverd/sync"
)

// testbed is a world whose archive is filled by synchronisations.
type testbed struct {
	*world.World
	t      testing.TB
	policy sync.Policy // of each synchronisation
	under  string      // a level that all mailboxes but INBOX are below
}

func newTestbed(t testing.TB) *testbed {
	t.Helper()
	return &testbed{World: world.New(t), t: t}
}

// newTestbedAmong returns a testbed beside which others of the same test run.
func newTestbedAmong(t testing.TB) *testbed {
	t.Helper()
	return &testbed{World: world.NewUnwatched(t), t: t}
}

// in returns the testbed for a subtest, which only reads its archive.
func (h *testbed) in(t testing.TB) *testbed {
	return &testbed{World: h.In(t), t: t, policy: h.policy, under: h.under}
}

// clean synchronises the account. Nothing may fail.
func (h *testbed) clean(acc session.Account) state.Run {
	h.t.Helper()
	run, err := (&sync.Job{Account: acc, Policy: h.policy, Committer: h.Committer, Log: h.Log}).Run(h.t.Context())
	if err != nil || !run.OK() {
		h.t.Fatalf("synchronise %s: %v\n%+v", acc.Name, err, run.Mailboxes)
	}
	return run
}
