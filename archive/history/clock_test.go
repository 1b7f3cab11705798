package history

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"archiverd/archive"
)

// In a journal of an earlier version, written while the clock was set back, times fall.
// Views, losses and the log agree about every second of it: an event counts as of the
// latest time before it.
func TestTimesThatFallCountOnceForAll(t *testing.T) {
	dir := t.TempDir()
	w, err := archive.OpenWriter(dir, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	at := func(s int) string { return clock.Add(time.Duration(s) * time.Second).Format(time.RFC3339) }
	lines := fmt.Sprintf(`{"event":"opened","v":1,"at":"%s","journal":"j","mailbox":"INBOX","delimiter":"/","uidvalidity":7,"attrs":[]}`, at(0)) + "\n"
	for u, s := range []int{1, 6, 3} {
		lines += fmt.Sprintf(`{"event":"added","at":"%s","uid":%d,"path":"0000-00/%d.eml","size":1,"sha256":"%064d","flags":[]}`, at(s), u+1, u+1, u+1) + "\n"
	}
	lines += fmt.Sprintf(`{"event":"gone","at":"%s","uids":"1"}`, at(4)) + "\n"
	seal, _, err := archive.Hash(strings.NewReader(lines))
	if err != nil {
		t.Fatal(err)
	}
	lines += fmt.Sprintf(`{"event":"sealed","seal":"%s"}`, seal) + "\n"
	if err := os.MkdirAll(filepath.Join(dir, "alice/INBOX"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "alice/INBOX/journal.jsonl"), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := archive.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b := archive.MailboxDir{Account: "alice", Dir: "alice/INBOX"}
	for s, want := range []string{"0 listed, 0 gone", "1 listed, 0 gone", "1 listed, 0 gone", "1 listed, 0 gone", "1 listed, 0 gone", "1 listed, 0 gone", "2 listed, 1 gone"} {
		then := clock.Add(time.Duration(s) * time.Second)
		view, err := a.FoldAt(b, then)
		if err != nil {
			t.Fatal(err)
		}
		changes, err := Log(a, "alice", time.Time{}, then)
		if err != nil {
			t.Fatal(err)
		}
		arrived, gone := 0, 0
		for _, c := range changes {
			switch c.Kind {
			case MessageArrived:
				arrived++
			case MessageGone:
				gone++
			}
		}
		byView := fmt.Sprintf("%d listed, %d gone", len(listedMessages(view)), len(view.Epoch().Messages)-len(listedMessages(view)))
		byLog := fmt.Sprintf("%d listed, %d gone", arrived-gone, gone)
		lost, err := SelectMailbox(a, b, Selection{At: then, Gone: true, Since: clock.Add(5 * time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		if byView != want || byLog != want || len(lost.Messages) != gone {
			t.Errorf("at second %d: by the view %s, by the log %s, gone since second 5: %d; want %s", s, byView, byLog, len(lost.Messages), want)
		}
	}
}
