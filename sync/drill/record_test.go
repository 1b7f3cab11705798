package drill

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

func drillOf(account string, n int) Result {
	begun := time.Date(2026, 11, 22, 18, 30, n, 0, time.UTC)
	return Result{Account: account, Started: begun, Ended: begun.Add(time.Second), Sample: "5%", Archived: 9 * n, Messages: n, Mailboxes: 2, Equal: n, Octets: 4711}
}

func mustDrills(t *testing.T, path string) map[string]Result {
	t.Helper()
	drills, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return drills
}

func TestDrills(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	if got := mustDrills(t, path); len(got) != 0 {
		t.Errorf("before the first drill there are %v", got)
	}
	good := drillOf("work", 3)
	if err := Save(path, good); err != nil {
		t.Fatal(err)
	}
	good.LastOK = good.Ended
	if got := mustDrills(t, path)["work"]; !reflect.DeepEqual(got, good) {
		t.Errorf("got %+v, want %+v", got, good)
	}

	// A drill that fails keeps when all was well last, and nothing of its own is lost.
	bad := drillOf("work", 5)
	bad.To, bad.Differing, bad.Changed, bad.Notes, bad.Error = "scratch: archiverd-drill", 1, 2, []string{"a note"}, "it broke off"
	bad.Differences = []Difference{{ID: "work/INBOX/2026-11/x.eml", Mailbox: "INBOX", In: []string{"flags", "octets"}, What: "<differs> & \x1b", Changed: true}}
	other := drillOf("büro", 1)
	if err := errors.Join(Save(path, bad), Save(path, other)); err != nil {
		t.Fatal(err)
	}
	bad.LastOK, other.LastOK = good.Ended, other.Ended
	if got, want := mustDrills(t, path), map[string]Result{"work": bad, "büro": other}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if e.Name() != "state.db.drills" || info.Mode().Perm()&0o027 != 0 {
			t.Errorf("left behind: %s %v", e.Name(), info.Mode())
		}
	}
	if good.OK() != true || bad.OK() != false || (&Result{Error: "x"}).OK() || (&Result{Differing: 1}).OK() {
		t.Error("OK says the opposite")
	}
}

// TestDrillsOfManyWriters: the daemon and drills by hand store at the same time,
// and somebody reads: no account is lost, no file is half.
func TestDrillsOfManyWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	const writers, times = 8, 20
	done := make(chan struct{})
	var reader, wait sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				if _, err := Load(path); err != nil {
					t.Errorf("a reader beside the writers: %v", err)
					return
				}
			}
		}
	})
	for w := range writers {
		wait.Go(func() {
			for n := range times {
				if err := Save(path, drillOf(fmt.Sprintf("account%d", w), n)); err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
			}
		})
	}
	wait.Wait()
	close(done)
	reader.Wait()
	got := mustDrills(t, path)
	if len(got) != writers {
		t.Errorf("%d accounts, want %d", len(got), writers)
	}
	for name, d := range got {
		if d.Messages != times-1 {
			t.Errorf("%s: the drill stored last is not there: %+v", name, d)
		}
	}
}

// TestDrillsUnreadable: a damaged file is told, and the next drill replaces it.
func TestDrillsUnreadable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	for _, text := range []string{"", "{", "\x00\x00", "[]", `{"work":{"started":"soon"}}`, `{"work":` + strings.Repeat("[", 20000)} {
		if err := os.WriteFile(path+".drills", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if d, err := Load(path); err == nil || !strings.Contains(err.Error(), path+".drills") {
			t.Errorf("%.20q was read as %v, %v", text, d, err)
		}
		if err := Save(path, drillOf("work", 1)); err != nil {
			t.Fatal(err)
		}
		if got := mustDrills(t, path); len(got) != 1 || got["work"].Messages != 1 {
			t.Errorf("after %.20q: %v", text, got)
		}
	}
	// What a crash left of an earlier write is in nobody's way.
	if err := os.WriteFile(path+".drills.new", []byte(strings.Repeat("x", 1<<16)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Save(path, drillOf("home", 2)); err != nil {
		t.Fatal(err)
	}
	if got := mustDrills(t, path); len(got) != 2 {
		t.Errorf("got %v", got)
	}
	// Nowhere to store it.
	gone := filepath.Join(t.TempDir(), "gone", "state.db")
	if err := Save(gone, drillOf("work", 1)); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "store the result of the drill") {
		t.Errorf("without a directory: %v", err)
	}
	if err := os.Mkdir(path+"2.drills", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Save(path+"2", drillOf("work", 1)); err == nil {
		t.Error("a directory was replaced")
	}
}
