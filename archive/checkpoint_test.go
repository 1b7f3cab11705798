package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// checkpointSteps are the steps of writing checkpoints.
var checkpointSteps = []string{StepCheckpoint, StepCheckpointSync, StepCheckpointName, StepCheckpointPack, StepCheckpointPart}

// checkpoint writes the checkpoints of w.
func checkpoint(t testing.TB, w *Writer) {
	t.Helper()
	if _, err := w.Checkpoint(); err != nil {
		t.Fatal(err)
	}
}

// killed is what a step panics with to end a writer in the midst of a write.
type killed struct{}

// untilKilled calls fn and reports whether a step killed it.
func untilKilled(fn func()) (was bool) {
	defer func() {
		switch p := recover(); p.(type) {
		case nil:
		case killed:
			was = true
		default:
			panic(p)
		}
	}()
	fn()
	return false
}

// killAt returns an Options.Step that kills the writer at the n-th step of that name.
func killAt(step string, n int) func(string) error {
	return func(s string) error {
		if s == step {
			if n--; n == 0 {
				panic(killed{})
			}
		}
		return nil
	}
}

// TestCheckpointLines: a run's journals get a line each and one seal; a run that changes
// nothing writes nothing.
func TestCheckpointLines(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	inbox, sent := mailbox(t, w, "INBOX"), mailbox(t, w, "Sent")
	commit(t, w, first(t, inbox, "one"), first(t, sent))
	checkpoint(t, w)
	line := func(m *Mailbox) string {
		return fmt.Sprintf(`{"event":"committed","at":"2026-11-22T18:30:00Z","mailbox":%q,"journal":%q,"octets":%d,"seal":%q}`+"\n", m.Dir, m.id, m.end().Offset, m.end().Seal)
	}
	mark := w.CheckpointsMark()
	want := `{"event":"begun","v":1,"at":"2026-11-22T18:30:00Z","archive":"` + w.ID() + `","checkpoints":"` + mark.ID + `","part":1}` + "\n" + line(inbox) + line(sent)
	got := string(read(t, dir, checkpointsName))
	if !strings.HasPrefix(got, want+`{"event":"sealed","seal":"`+mark.Seal) || int64(len(got)) != mark.Offset {
		t.Errorf("checkpoints are\n%swant\n%sand the seal", got, want)
	}
	sealsBy(t, []byte(got))
	if info := string(read(t, dir, infoName)); !strings.Contains(info, `"checkpoints": "`+mark.ID+`"`) {
		t.Errorf("archive.json does not name the checkpoints: %s", info)
	}

	was, err := os.Stat(filepath.Join(dir, checkpointsName))
	if err != nil {
		t.Fatal(err)
	}
	checkpoint(t, w)
	if is, err := os.Stat(filepath.Join(dir, checkpointsName)); err != nil || is.ModTime() != was.ModTime() || is.Size() != was.Size() {
		t.Errorf("without a change the file was written: %v", err)
	}
	b := begin(t, inbox)
	add(t, b, 2, "two")
	commit(t, w, b)
	checkpoint(t, w)
	if more := strings.TrimPrefix(string(read(t, dir, checkpointsName)), got); !strings.HasPrefix(more, line(inbox)+`{"event":"sealed"`) || strings.Count(more, "\n") != 2 {
		t.Errorf("after a second commit there is more:\n%s", more)
	}
	sealsBy(t, read(t, dir, checkpointsName))
}

// TestOlderArchiveGetsCheckpoints: the journals that an older archiverd wrote are
// recorded, also those that this writer does not write to.
func TestOlderArchiveGetsCheckpoints(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	commit(t, w, first(t, mailbox(t, w, "INBOX"), "one"), first(t, mailbox(t, w, "Sent"), "two"))
	shut(t, w)
	w = open(t, dir, Options{})
	boxes, err := w.Mailboxes("")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range boxes {
		if err := w.CheckJournal(b, Checkpoint{}); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := w.Checkpoint(); n != 2 || err != nil {
		t.Errorf("recorded %d journals, %v; want 2", n, err)
	}
	if n, err := w.Checkpoint(); n != 0 || err != nil {
		t.Errorf("recorded %d journals again, %v", n, err)
	}
}

// TestTornCheckpoints: what no seal ends is no checkpoint, and is not there any more when
// something is appended.
func TestTornCheckpoints(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	commit(t, w, first(t, mailbox(t, w, "INBOX"), "one"))
	checkpoint(t, w)
	mark := w.CheckpointsMark()
	shut(t, w)
	text := read(t, dir, checkpointsName)
	for _, tail := range []string{"{", `{"event":"committed","at":"2026-11-22T18:30:00Z"}` + "\n", string(make([]byte, 600)), string(text[:mark.Offset-10])} {
		write(t, append(bytes.Clone(text), tail...), dir, checkpointsName)
		w := openOnly(t, dir, Options{})
		if err := w.CheckCheckpoints(mark); err != nil {
			t.Errorf("with the tail %.20q: %v", tail, err)
		}
		shut(t, w)
		if got := read(t, dir, checkpointsName); !bytes.Equal(got, text) {
			t.Errorf("the tail %.20q is still there", tail)
		}
	}
}

// TestCheckpointsThatAreLost: a file that is not what archive.json or the state database
// know is told, and nothing is written to it.
func TestCheckpointsThatAreLost(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	m := mailbox(t, w, "INBOX")
	commit(t, w, first(t, m, "one"))
	checkpoint(t, w)
	before := w.CheckpointsMark()
	b := begin(t, m)
	add(t, b, 2, "two")
	commit(t, w, b)
	checkpoint(t, w)
	mark := w.CheckpointsMark()
	shut(t, w)
	text := read(t, dir, checkpointsName)
	flipped := bytes.Clone(text)
	flipped[len(flipped)/3] ^= 1
	other := mark
	other.ID = newID()
	for _, c := range []struct {
		name string
		text []byte // nil: no file
		mark CheckpointsMark
		want string
	}{
		{"missing", nil, CheckpointsMark{}, "it is missing, and archive.json names it"},
		{"missing for the database", nil, mark, "it is missing"},
		{"empty", []byte{}, CheckpointsMark{}, "it is missing"},
		{"flipped", flipped, mark, "line "},
		{"cut", text[:before.Offset], mark, "it is older than the state database, or was cut"},
		{"cut within a line", text[:mark.Offset-100], mark, "it is older than the state database, or was cut"},
		{"of another database", text, other, "it is not the file that the state database knows"},
		{"of an earlier part", text, CheckpointsMark{mark.ID, 2, Position{10, ""}}, "it is older than the state database"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.Remove(filepath.Join(dir, checkpointsName)); err != nil {
				t.Fatal(err)
			}
			if c.text != nil {
				write(t, c.text, dir, checkpointsName)
			}
			refusesCheckpoints(t, dir, c.mark, c.want)
			if got, err := os.ReadFile(filepath.Join(dir, checkpointsName)); c.text == nil && err == nil || !bytes.Equal(got, c.text) {
				t.Errorf("the file was written")
			}
			write(t, text, dir, checkpointsName)
		})
	}
	for _, mark := range []CheckpointsMark{{}, before, mark} {
		w := openOnly(t, dir, Options{})
		if err := w.CheckCheckpoints(mark); err != nil {
			t.Errorf("the whole file, to a database that knows %v: %v", mark, err)
		}
		shut(t, w)
	}
}

// refusesCheckpoints fails unless a writer whose database knows mark refuses the file,
// with an error that contains want.
func refusesCheckpoints(t *testing.T, dir string, mark CheckpointsMark, want string) {
	t.Helper()
	w := openOnly(t, dir, Options{})
	defer shut(t, w)
	if err := w.CheckCheckpoints(mark); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if got := w.CheckpointsMark(); got != (CheckpointsMark{}) {
		t.Errorf("the database would learn %v", got)
	}
}

// TestCheckpointFailsAtEachStep: a write that fails at any step leaves no line that a
// reader sees, and the next one succeeds.
func TestCheckpointFailsAtEachStep(t *testing.T) {
	for _, step := range checkpointSteps {
		t.Run(step, func(t *testing.T) {
			dir := t.TempDir()
			f := &failAt{with: syscall.EIO}
			w := open(t, dir, Options{Step: f.Step})
			m := mailbox(t, w, "INBOX")
			commit(t, w, first(t, m, "one"))
			f.step, f.n = step, 1
			if step != StepCheckpointName {
				checkpointOrPack(t, w, step)
				f.n = 1
			}
			b := begin(t, m)
			add(t, b, 2, "two")
			commit(t, w, b)
			w.checkpoints.maxSize = packAt(step)
			if _, err := w.Checkpoint(); !errors.Is(err, syscall.EIO) {
				t.Errorf("the error is %v", err)
			}
			a, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			c, err := a.ReadCheckpoints()
			if err != nil || c.corrupt != nil || c.size != c.Offset {
				t.Errorf("the file is broken: %+v, %v", c, err)
			}
			checkpoint(t, w)
			if c, err = a.ReadCheckpoints(); err != nil || c.of(m.Dir) != (Checkpoint{m.id, m.end()}) {
				t.Errorf("the next try recorded %v, %v", c.of(m.Dir), err)
			}
			if w.info.Checkpoints != c.ID {
				t.Errorf("archive.json names %q, the file is %q", w.info.Checkpoints, c.ID)
			}
		})
	}
}

// checkpointOrPack writes checkpoints, and so many that they can be packed if step is
// one of packing; no step fails meanwhile.
func checkpointOrPack(t *testing.T, w *Writer, step string) {
	t.Helper()
	fail := w.opts.Step
	w.opts.Step = nil
	defer func() { w.opts.Step = fail }()
	checkpoint(t, w)
	if packAt(step) != maxCheckpoints {
		manyCheckpoints(t, w, 20)
	}
}

// packAt is the size from which checkpoints are packed in a test of a step.
func packAt(step string) int64 {
	if step == StepCheckpointPack || step == StepCheckpointPart {
		return 1
	}
	return maxCheckpoints
}

// manyCheckpoints makes n commits to INBOX, with a checkpoint after each.
func manyCheckpoints(t testing.TB, w *Writer, n int) {
	t.Helper()
	m := mailbox(t, w, "INBOX")
	for range n {
		b := begin(t, m)
		b.Record(Event{Kind: Flags, UID: 1, Flags: []string{`\Seen`}})
		commit(t, w, b)
		checkpoint(t, w)
	}
}

// TestCheckpointsArePacked: over its limit the file is written anew with the last word on
// each mailbox, and the old part stays, compressed.
func TestCheckpointsArePacked(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	commit(t, w, first(t, mailbox(t, w, "INBOX"), "one"), first(t, mailbox(t, w, "Sent"), "two"))
	manyCheckpoints(t, w, 20)
	old, before := read(t, dir, checkpointsName), w.CheckpointsMark()
	w.checkpoints.maxSize = 1
	manyCheckpoints(t, w, 1)
	after := w.CheckpointsMark()
	if after.ID != before.ID || after.Part != 2 || after.Offset >= before.Offset/2 {
		t.Errorf("the file was %v and is %v", before, after)
	}
	f, err := os.Open(filepath.Join(dir, "checkpoints-0001.jsonl.zst"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	packed, err := io.ReadAll(z)
	if err != nil || !bytes.HasPrefix(packed, old) {
		t.Errorf("the packed part is not what the file was: %v", err)
	}
	text := read(t, dir, checkpointsName)
	sealsBy(t, text)
	if first := strings.SplitAfter(string(text), "\n")[0]; !strings.Contains(first, `"part":2,"continues":"`+lastSeal(packed)+`"`) {
		t.Errorf("the new part begins with %s", first)
	}
	for _, m := range []*Mailbox{mailbox(t, w, "INBOX"), mailbox(t, w, "Sent")} {
		if got, want := w.checkpoints.file.of(m.Dir), (Checkpoint{m.id, m.end()}); got != want {
			t.Errorf("%s has the checkpoint %v, want %v", m.Dir, got, want)
		}
	}
}

// lastSeal is the seal in the last line of text.
func lastSeal(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Split(lines[len(lines)-1], `"`)[7]
}

// TestKilledAtEachStepOfCheckpoints: wherever a writer is killed, the next one finds
// nothing wrong and goes on.
func TestKilledAtEachStepOfCheckpoints(t *testing.T) {
	for _, step := range checkpointSteps {
		for n := 1; n <= 3; n++ {
			dir := t.TempDir()
			w := openOnly(t, dir, Options{Step: killAt(step, n)})
			w.checkpoints.maxSize = 2000
			was := untilKilled(func() {
				commit(t, w, first(t, mailbox(t, w, "INBOX"), "one"), first(t, mailbox(t, w, "Sent"), "two"))
				manyCheckpoints(t, w, 12)
			})
			if !was && (n == 1 || step == StepCheckpoint || step == StepCheckpointSync) {
				t.Errorf("%s %d: nothing was killed", step, n)
			}
			_ = w.root.Close()
			shut(t, w)
			w = open(t, dir, Options{})
			w.checkpoints.maxSize = 2000
			if err := w.CheckCheckpoints(CheckpointsMark{}); err != nil {
				t.Errorf("killed at %s %d: %v", step, n, err)
			}
			boxes, err := w.Mailboxes("")
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range boxes {
				if err := w.CheckJournal(b, Checkpoint{}); err != nil {
					t.Errorf("killed at %s %d: %v", step, n, err)
				}
			}
			manyCheckpoints(t, w, 12)
			if w.info.Checkpoints != w.CheckpointsMark().ID {
				t.Errorf("killed at %s %d: archive.json does not name the file", step, n)
			}
		}
	}
}

// TestCheckpointsWithStandardTools: the commands of docs/format.md find a journal that
// was cut.
func TestCheckpointsWithStandardTools(t *testing.T) {
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("no jq")
	}
	doc := string(read(t, "..", "docs", "format.md"))
	_, recipe, _ := strings.Cut(doc, "is each journal at least what its last checkpoint says?\n\n")
	recipe, _, ok := strings.Cut(recipe, "\n\nThe journals themselves")
	if !ok {
		t.Fatal("docs/format.md has no such commands")
	}
	dir := t.TempDir()
	w := open(t, dir, Options{})
	inbox, sent := mailbox(t, w, "INBOX"), mailbox(t, w, "Sent")
	one := first(t, inbox, "one")
	commit(t, w, one, first(t, sent))
	b := begin(t, inbox)
	add(t, b, 2, "two")
	commit(t, w, b)
	checkpoint(t, w)
	says := func(want string) {
		t.Helper()
		cmd := exec.Command("sh", "-c", recipe)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); string(out) != want || err != nil {
			t.Errorf("the commands say %q, %v; want %q", out, err, want)
		}
	}
	says("alice/INBOX: good\nalice/Sent: good\n")
	journal := read(t, dir, "alice/INBOX", journalName)
	write(t, journal[:one.To.Offset], dir, "alice/INBOX", journalName)
	says("alice/INBOX: LOST\nalice/Sent: good\n")
	write(t, journal, dir, "alice/INBOX", journalName)
}
