package check

import (
	"fmt"
	"slices"
	"testing"

	"archiverd/internal/session"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/state"
	"archiverd/sync"
)

// testbed is a world with the policy of its runs and checks.
type testbed struct {
	*world.World
	t      testing.TB
	policy sync.Policy
}

func newTestbed(t testing.TB) *testbed {
	t.Helper()
	return &testbed{World: world.New(t), t: t}
}

// script is that of a hostile server.
type script = func(*hostile.Session, hostile.Command) bool

// noBody answers NIL for the bodies of INBOX's messages with those UIDs.
func noBody(uids ...uint32) script {
	return func(s *hostile.Session, cmd hostile.Command) bool {
		if !world.WantsBodies(cmd) || s.Open == nil || s.Open.Name != "INBOX" {
			return false
		}
		for i, m := range s.Open.Messages {
			switch {
			case !world.Requests(cmd, m.UID):
			case slices.Contains(uids, m.UID):
				s.Send(fmt.Sprintf("* %d FETCH (UID %d BODY[] NIL)\r\n", i+1, m.UID))
			default:
				s.Fetched(i, "UID BODY[]")
			}
		}
		s.Send(cmd.Tag + " OK done\r\n")
		return true
	}
}

// run synchronises the account.
func (h *testbed) run(acc session.Account) (state.Run, error) {
	h.t.Helper()
	return (&sync.Job{Account: acc, Policy: h.policy, Committer: h.Committer, Log: h.Log}).Run(h.t.Context())
}

// clean synchronises the account. Nothing may fail.
func (h *testbed) clean(acc session.Account) state.Run {
	h.t.Helper()
	run, err := h.run(acc)
	if err != nil || !run.OK() {
		h.t.Fatalf("synchronise %s: %v\n%+v", acc.Name, err, run.Mailboxes)
	}
	return run
}

// completes synchronises alice's account at a server with these mailboxes.
func (h *testbed) completes(mailboxes []hostile.Mailbox) state.Run {
	h.t.Helper()
	run := h.clean(world.Serve(h.t, hostile.Options{Mailboxes: mailboxes}).Alice())
	for _, m := range mailboxes {
		h.Holds(m)
	}
	return run
}

// check checks the account.
func (h *testbed) check(acc session.Account, last *state.Run) Report {
	h.t.Helper()
	k := &Job{Account: acc, Policy: h.policy, Archive: h.Committer.Archive.Archive, Last: last, Log: h.Log}
	c := k.Run(h.t.Context())
	for _, b := range c.Mailboxes {
		n := b.Counts
		if n.Server != n.Archived+n.Failed+n.Excluded+n.Arrived+n.Returned+n.Missing {
			h.t.Errorf("the balance of %q does not add up: %+v", b.Mailbox, b)
		}
	}
	return c
}

// balance is that of a mailbox.
func balance(t testing.TB, c Report, name string) Balance {
	t.Helper()
	i := slices.IndexFunc(c.Mailboxes, func(b Balance) bool { return b.Mailbox == name })
	if i < 0 {
		t.Fatalf("no balance of %q in %+v", name, c)
	}
	return c.Mailboxes[i]
}
