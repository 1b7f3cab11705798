package restore

import (
	"slices"
	"strings"
	"testing"

	"archiverd/archive"
	"archiverd/internal/session"
	"archiverd/internal/testing/cyrus"
	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/world"
)

// realMail is the mail of ARCHIVERD_TEST_MAIL.
func realMail(t testing.TB) []dovecot.Msg {
	var out []dovecot.Msg
	for i, f := range dovecot.Mail(t) {
		out = append(out, dovecot.Msg{Body: f.Data, Date: day(i), Flags: someFlags(i)})
	}
	return out
}

// roundTrip restores an archive to an empty account, archives that, and compares:
// what is not equal must have been named. A second restore appends nothing.
// In the comparison mailboxes below the level under are as if they were not.
func roundTrip(t *testing.T, h *testbed, to session.Account, under ...string) *Result {
	t.Helper()
	r := h.restoreOf(to)
	plan, err := r.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := restored(t, r)
	if testing.Verbose() {
		t.Log(showRestored(out))
	}
	if s := out.Sum; s.Error != "" || s.Unsent != 0 || s.Selected != s.Appended+s.Refused || plan.Sum.Missing != s.Selected {
		t.Errorf("plan %+v, restored\n%s", plan.Sum, showRestored(out))
	}
	h2 := newTestbedAmong(t)
	h2.clean(to)
	h2.under = strings.Join(under, "/")
	want, got := h.contents(), h2.contents()
	h.forgive(h2, out, want, got)
	equalContents(t, got, want)
	again := restored(t, h.restoreOf(to))
	if s := again.Sum; s.Appended != 0 || s.Present != out.Sum.Appended || s.Refused != out.Sum.Refused || s.Error != "" {
		t.Errorf("the second restore:\n%s", showRestored(again))
	}
	altered := 0
	for _, m := range out.Mailboxes {
		for _, x := range m.Problems {
			if x.Changed && (strings.Contains(x.Reason, "octets") || strings.Contains(x.Reason, "refused it with LF without CR")) {
				altered++
			}
		}
	}
	if again.Sum.Altered != altered {
		t.Errorf("the second restore finds %d in another form, the first one named %d", again.Sum.Altered, altered)
	}
	return out
}

// forgive takes out of want what the restore has named as refused, and out of
// both what it has named as changed by the server, if what is there instead is
// the same in canonical form.
func (h *testbed) forgive(h2 *testbed, out *Result, want, got map[string]content) {
	h.t.Helper()
	named := map[string]Problem{}
	for _, m := range out.Mailboxes {
		for _, x := range m.Problems {
			named[x.ID] = x
		}
	}
	changed := map[string]map[archive.Sum]int{}
	h.each(func(name, id string, m *archive.Message) {
		x, ok := named[id]
		if !ok {
			return
		}
		want[name].take(identity(m.Sum, m.Flags, m.InternalDate))
		if x.Changed {
			if changed[name] == nil {
				changed[name] = map[archive.Sum]int{}
			}
			changed[name][h.canon(id)]++
		}
	})
	h2.each(func(name, id string, m *archive.Message) {
		k := identity(m.Sum, m.Flags, m.InternalDate)
		if got[name][k] <= want[name][k] {
			return
		}
		if sum := h2.canon(id); changed[name][sum] > 0 {
			changed[name][sum]--
			got[name].take(k)
		}
	})
	for name, sums := range changed {
		for sum, n := range sums {
			if n != 0 {
				h.t.Errorf("%s: %d of the messages named as changed are not there (canonically %v)", name, n, sum)
			}
		}
	}
}

// One archive of generated mail and of all real mail there is goes to every server,
// to some at once.
func TestRestoreTo(t *testing.T) {
	h := newTestbed(t)
	u, from := world.NewIMAPD(t)
	messages := 5000
	if testing.Short() {
		messages = 1000
	}
	world.Fill(t, u, append(dovecot.Corpus(3, messages), dovecot.Mailbox{Name: "Real", Msgs: realMail(t)}))
	h.clean(from)
	t.Run("own", func(t *testing.T) {
		t.Parallel()
		_, to := world.NewIMAPD(t)
		if out := roundTrip(t, h.in(t), to); out.Sum.Refused+out.Sum.Changed != 0 {
			t.Errorf("a server that changes nothing:\n%s", showRestored(out))
		}
	})
	for _, format := range []string{"mdbox", "maildir"} {
		t.Run("Dovecot "+format, func(t *testing.T) {
			t.Parallel()
			s := dovecot.StartWith(t, dovecot.Options{Format: format})
			u := s.User(t, "alice")
			out := roundTrip(t, h.in(t), world.Login(s.Addr, u.Name, u.Password, s.TLS))
			for _, m := range out.Mailboxes {
				for _, x := range m.Problems {
					if m.From != "Real" || !slices.ContainsFunc([]string{
						"the server has changed its octets (it has LF without CR", "the server has changed its octets (it has CR without LF",
						"the server has changed its octets (it has NUL", "zero byte",
					}, func(s string) bool { return strings.Contains(x.Reason, s) }) {
						t.Errorf("%s: %s", x.ID, x.Reason)
					}
				}
			}
		})
	}
	for name, o := range map[string]cyrus.Options{"Cyrus": {}, "Cyrus with prefix and dots": {Prefix: true, Dots: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := cyrus.StartWith(t, o)
			u := s.User(t, "alice")
			var under []string
			if o.Prefix {
				under = []string{"INBOX"}
			}
			out := roundTrip(t, h.in(t), world.Login(s.Addr, u.Name, u.Password, s.TLS), under...)
			for _, m := range out.Mailboxes {
				for _, x := range m.Problems {
					if !slices.ContainsFunc([]string{
						"refused it with LF without CR, and got it without", "the server has changed its octets (it has 8-bit octets in the header)",
						"Zero-length message", "contains invalid header", "contains NUL characters", "contains bare newlines", // bare CRs
					}, func(s string) bool { return strings.Contains(x.Reason, s) }) {
						t.Errorf("%s: %s", x.ID, x.Reason)
					}
				}
			}
		})
	}
}
