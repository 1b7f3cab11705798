package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"archiverd/sync/restore"
)

// idArguments are the words of a case's arguments that stand for IDs, which only the
// archive of a test knows: ID1 to ID5 are the messages of INBOX, FILE5 is the file
// name of ID5, and LIST1 to LIST3 are the messages of Lists/go.
func (s *restoreSite) idArguments() map[string]string {
	s.t.Helper()
	words := map[string]string{}
	for i, id := range s.ids("INBOX") {
		words[fmt.Sprint("ID", i+1)] = id
		words[fmt.Sprint("FILE", i+1)] = filepath.Base(id)
	}
	for i, id := range s.ids("Lists/go") {
		words[fmt.Sprint("LIST", i+1)] = id
	}
	return words
}

// splitArgs returns the arguments of a case, which "|" separates, with IDs for words.
func splitArgs(text string, words map[string]string) []string {
	if text == "" {
		return nil
	}
	args := strings.Split(text, "|")
	for i, arg := range args {
		if id, ok := words[arg]; ok {
			args[i] = id
		}
	}
	return args
}

// restoreSelection is the arguments of a restore, and the number of messages that they
// select for each destination. Arguments are separated by "|".
type restoreSelection struct {
	args string
	want map[string]int
}

const drafts = `Entwürfe & "mehr"`

var restoreSelections = []restoreSelection{
	{"", map[string]int{"INBOX": 3, drafts: 2, "Empty": 0, "Lists": 0}},
	{"--mailbox|inbox", map[string]int{"INBOX": 3}},
	{"--mailbox|E*", map[string]int{drafts: 2, "Empty": 0}},
	{"--mailbox|INBOX|--mailbox|%rf%", map[string]int{"INBOX": 3, drafts: 2}},
	{"--after|2026-11-04T02:00:00Z", map[string]int{"INBOX": 2}}, // a mailbox with none of it is not asked for
	{"--after|2026-11-04T02:00:01Z", map[string]int{"INBOX": 1}},
	{"--after|2026-11-01T02:00:00Z|--before|2026-11-02T02:00:00Z", map[string]int{"INBOX": 1, drafts: 1}},
	{"--before|2026-11-02", map[string]int{"INBOX": 1, drafts: 2}},
	{"--gone", map[string]int{"INBOX": 2, "Lists/go": 3}},
	{"--gone|--mailbox|Lists/*|--after|2026-11-02", map[string]int{"Lists/go": 1}},
	{"--at|now", map[string]int{"INBOX": 3, drafts: 2, "Empty": 0, "Lists": 0}},
	{"--gone|--since|1h", map[string]int{"INBOX": 2, "Lists/go": 3}},
	{"--at|now|ID1", map[string]int{"INBOX": 1}},
	{"--into|Old/2026", map[string]int{"Old/2026/INBOX": 3, "Old/2026/" + drafts: 2, "Old/2026/Empty": 0, "Old/2026/Lists": 0}},
	{"--gone|--map|Lists=Archive/L", map[string]int{"INBOX": 2, "Archive/L/go": 3}},
	{"--gone|--map|Lists=L|--map|Lists/go=Go|--into|X", map[string]int{"X/INBOX": 2, "X/Go": 3}},
	{"--from|alice|--archive|archive", map[string]int{"INBOX": 3, drafts: 2, "Empty": 0, "Lists": 0}},
	{"ID1", map[string]int{"INBOX": 1}},
	{"ID2", map[string]int{"INBOX": 1}}, // it is gone
	{"ID1|ID2|ID3|ID4|ID5|LIST1|LIST2|LIST3|ID1", map[string]int{"INBOX": 5, "Lists/go": 3}},
	{"Lists/go/2026-11/20261102|FILE5|--into|Found", map[string]int{"Found/Lists/go": 1, "Found/INBOX": 1}},
	{"mail|--mailbox|Rescued/here", map[string]int{"Rescued/here": 10}},
	{"mail/INBOX|mail/INBOX/2026-11|--mailbox|INBOX", map[string]int{"INBOX": 5}},
	{"mail/Lists|ID1|--mailbox|Files|--into|Both", map[string]int{"Both/Files": 3, "Both/INBOX": 1}},
}

// TestRestoreSelections: flags and arguments select messages of the archive and of
// files, and name their destinations.
func TestRestoreSelections(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	s.mailbox(s.alice, "INBOX").Expunge(2, 3)
	if err := s.alice.Delete("Lists/go"); err != nil {
		t.Fatal(err)
	}
	words := s.idArguments()
	s.run("sync", "alice").want(0).prints("vanished")
	s.env = append(s.env, "TZ=Pacific/Honolulu") // ten hours behind UTC: the day begins at 10:00
	mail := filepath.Join(s.dir, "mail")
	if err := os.CopyFS(mail, os.DirFS(filepath.Join(s.archive, "alice"))); err != nil {
		t.Fatal(err)
	}
	for _, c := range restoreSelections {
		t.Run(c.args, func(t *testing.T) {
			var plan restore.Plan
			s.run(append([]string{"restore", "--to", "bob", "--json", "--dry-run"}, splitArgs(c.args, words)...)...).want(0).decode(&plan)
			got := map[string]int{}
			for _, m := range plan.Mailboxes {
				got[m.To] = m.Selected
				if m.Missing != m.Selected || m.Create == (m.To == "INBOX") {
					t.Errorf("of %s the plan says %+v", m.To, m)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("the plan has %v, want %v", got, c.want)
			}
			if plan.Account != "bob" || plan.Username != "bob" || plan.Server != s.addr {
				t.Errorf("the plan is for %s, %s on %s", plan.Account, plan.Username, plan.Server)
			}
		})
	}
	s.bobHas(nil)
}

// restoreFault is the arguments of a restore that restores nothing, and what
// archiverd says of them. Arguments are separated by "|".
type restoreFault struct {
	args   string
	status int
	says   []string
}

var restoreFaults = []restoreFault{
	{"", 2, []string{`required flag(s) "to" not set`}},
	{"--to|carol", 2, []string{`no account "carol"`, "alice, bob"}},
	{"--to|bob|--from|carol", 2, []string{`no account "carol" in the archive`, "it has alice"}},
	{"--to|bob|--mailbox|INBOX|--mailbox|Lsts", 2, []string{`no mailbox "Lsts" in account "alice"`, `"Lists/go"`}},
	{"--to|bob|--mailbox|", 2, []string{"--mailbox", "empty name"}},
	{"--to|bob|--after|someday", 2, []string{`--after "someday"`, "2026-11-01", "RFC 3339"}},
	{"--to|bob|--before|2026-13-01", 2, []string{`--before "2026-13-01"`}},
	{"--to|bob|--after|2026-11-02|--before|2026-11-02", 2, []string{"after 2026-11-02", "before 2026-11-02"}},
	{"--to|bob|--map|Lists", 2, []string{`--map "Lists"`, "OLD=NEW"}},
	{"--to|bob|--map|Lists=", 2, []string{"OLD=NEW"}},
	{"--to|bob|--map|A=B|--map|A=C", 2, []string{`"A"`, `"B" already`}},
	{"--to|bob|one.eml", 2, []string{"one.eml", "--mailbox"}},
	{"--to|bob|one.eml|--mailbox|A|--mailbox|B", 2, []string{"one.eml", "one --mailbox"}},
	{"--to|bob|one.eml|--mailbox|A*", 2, []string{"wildcards"}},
	{"--to|bob|one.eml|--mailbox|A|--gone", 2, []string{"--gone"}},
	{"--to|bob|mbox|--mailbox|A", 2, []string{"mbox", "neither an .eml file"}},
	{"--to|bob|folder|--mailbox|A", 1, []string{"nothing to restore", "folder", "no .eml file"}},
	{"--to|bob|nothing.eml", 2, []string{`no such file or directory on disk, and no message "nothing.eml"`, "archiverd list"}},
	{"--to|bob|2026-11/", 2, []string{`"2026-11" is a part of several IDs`, "alice/"}},
	{"--to|bob|ID1|--mailbox|A", 2, []string{"own mailbox", "--map"}},
	{"--to|bob|ID1|--after|2026-11-01", 2, []string{"--after"}},
	{"--to|bob|--archive|nowhere", 2, []string{"no archive here"}},
	{"--to|bob|--at|2020-01-01", 1, []string{"nothing to restore", "was on the server at 2020-01-01 23:59:59"}},
	{"--to|bob|--at|2020-01-01|ID1", 2, []string{"was not archived yet at 2020-01-01"}},
	{"--to|bob|one.eml|--mailbox|A|--at|now", 2, []string{"--at", "is on disk"}},
	{"--to|bob|--gone", 1, []string{"nothing to restore", `account "alice"`, "is gone from the server"}},
	{"--to|bob|--mailbox|Empty", 1, []string{"nothing to restore", `"Empty"`}},
	{"--to|bob|--after|2027-01-01", 1, []string{"nothing to restore", "after 2027-01-01", "last sync"}},
	{"--to|bob|--yess", 2, []string{"unknown flag"}},
	{"--to|bob", 2, []string{"not a terminal", "--yes"}},
}

// TestRestoreUsage: arguments that contradict each other or select nothing are named,
// and nothing is appended.
func TestRestoreUsage(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	s.write("one.eml", "Subject: one\r\n\r\none\r\n")
	s.write("mbox", "From a\n")
	for _, dir := range []string{filepath.Join("folder", "none"), "other"} {
		if err := os.MkdirAll(filepath.Join(s.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	words := s.idArguments()
	for _, c := range restoreFaults {
		t.Run(c.args, func(t *testing.T) {
			r := s.run(append([]string{"restore"}, splitArgs(c.args, words)...)...).want(c.status).says(c.says...)
			checkPrintable(t, c.args, r.out+r.err)
		})
	}
	s.mailbox(s.alice, "INBOX").Expunge(2, 3)
	s.run("sync", "alice").want(0)
	s.run("restore", "--to", "bob", "--mailbox", "INBOX", "--before", "2026-11-04", "--after", "2026-11-02").want(1).says("nothing to restore", `"INBOX"`, "--gone selects 2 messages")
	s.bobHas(nil)
	s.write("password", "wrong\n")
	s.run("restore", "--to", "bob", "--dry-run").want(1).says("account bob", "bob on "+s.addr, "AUTHENTICATIONFAILED")
	s.write("password", "secret\n")
	if r := s.run("restore", "--help").want(0); !strings.Contains(r.out, "Exit status:") || !strings.Contains(r.out, "--over-quota") {
		t.Errorf("the help is\n%s", r.out)
	}
}
