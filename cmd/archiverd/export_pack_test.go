package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/export"
)

// zips unpacks a zip with Python's zipfile module.
const zips = `
import json, sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None
z.extractall(sys.argv[2])
json.dump([i.filename for i in z.infolist()], sys.stdout)
`

// testExportPack exports to zip and tar.zst. What other programs unpack is an
// archive that verifies and has the same messages.
func testExportPack(t *testing.T, s *site, all []archived) {
	for _, name := range []string{"all.zip", "all.tar.zst"} {
		r := s.exportTo(0, name)
		if r.Sum.Written != len(all) || !r.OK() || len(r.Notices) > 0 {
			t.Errorf("%s: the export counts %+v; %q", name, r.Sum, r.Notices)
		}
		dir := filepath.Join(s.dir, "unpacked "+name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".zip") {
			var names []string
			python(t, &names, zips, filepath.Join(s.dir, name), dir)
			if len(names) < len(all) || names[0] != "archive.json" {
				t.Errorf("%s holds %d names, the first %q", name, len(names), names[0])
			}
		} else {
			tool(t, "zstd")
			if out, err := exec.Command("tar", "--zstd", "-xf", filepath.Join(s.dir, name), "-C", dir).CombinedOutput(); err != nil {
				t.Fatalf("tar: %v: %s", err, out)
			}
			if names, inodes := files(t, dir); names != len(all) || inodes >= names {
				t.Errorf("%d files of %d inodes, want %d of fewer", names, inodes, len(all))
			}
			for _, m := range all {
				if info, err := os.Stat(filepath.Join(dir, m.ID)); err != nil || info.ModTime().Year() != m.InternalDate.UTC().Year() {
					t.Fatalf("%s: %v, %v", m.ID, info, err)
				}
			}
		}
		s.run("verify", "--archive", dir).want(0).prints("; 0 damaged\n")
		other := s.forTest(t)
		other.env = nil
		other.archive = dir
		other.config = filepath.Join(other.dir, "config.yaml")
		other.configure("accounts: [{name: x, server: h, username: u, password: p}]\n")
		if got := other.listAll(); !slices.EqualFunc(got, all, func(a, b archived) bool {
			return a.ID == b.ID && a.SHA256 == b.SHA256 && slices.Equal(a.Flags, b.Flags) && a.InternalDate.Equal(b.InternalDate)
		}) {
			t.Errorf("%s: unpacked it lists %d messages, want %d, or others", name, len(got), len(all))
		}
	}
}

// testExportSelection selects by account, mailbox, date and time.
func testExportSelection(t *testing.T, s *site, all []archived) {
	count := func(is func(archived) bool) (n int) {
		for _, m := range all {
			if is(m) {
				n++
			}
		}
		return n
	}
	lists := count(func(m archived) bool { return strings.HasPrefix(m.mailbox, "Lists/") })
	after := time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
	for i, c := range []struct {
		args []string
		want int
	}{
		{[]string{"--account", "alice", "--mailbox", "Lists/*"}, lists},
		{[]string{"--after", "2026-11-03T00:00:00Z"}, count(func(m archived) bool { return !m.InternalDate.Before(after) })},
		{[]string{"--before", "2026-11-03T00:00:00Z"}, count(func(m archived) bool { return m.InternalDate.Before(after) })},
		{[]string{"--at", "2020-01-01"}, 0},
		{[]string{"--gone"}, 0},
		{[]string{"--query", "larger:60 after:2026-11-03T00:00:00Z"}, count(func(m archived) bool { return m.Size > 60 && !m.InternalDate.Before(after) })},
		{[]string{"--query", "-flag:seen", "--mailbox", "Lists/*"}, count(func(m archived) bool {
			return strings.HasPrefix(m.mailbox, "Lists/") && !slices.Contains(m.Flags, `\Seen`)
		})},
		{[]string{"--query", "subject:nothing-has-this"}, 0},
		{[]string{"--after", "2026-11-03T00:00:00Z", "--format", "maildir"}, count(func(m archived) bool { return !m.InternalDate.Before(after) })},
	} {
		to := fmt.Sprint("selected", i)
		if r := s.exportTo(0, append(c.args, to)...); r.Sum.Written != c.want {
			t.Errorf("%q exports %d messages, want %d", c.args, r.Sum.Written, c.want)
		}
	}
	r := s.exportTo(0, "--mailbox", "Lists/*", "--before", "2030-01-01", "some.zip")
	if r.Sum.Written != lists || len(r.Notices) != 1 {
		t.Errorf("a zip of some has %+v, %q", r.Sum, r.Notices)
	}
	if r := s.exportTo(0, "--mailbox", "Lists/*", "one.mbox"); r.Sum.Written != lists || strings.Count(string(read(t, filepath.Join(s.dir, "one.mbox"))), "\nX-Keywords:") != lists {
		t.Errorf("one mbox has %+v", r.Sum)
	}
}

// testExportRefusals: wrong arguments are named, and nothing is exported.
func testExportRefusals(t *testing.T, s *site, _ []archived) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{}, "accepts 1 arg"},
		{[]string{""}, "TARGET is empty"},
		{[]string{"--format", "pst", "x"}, `--format "pst": write one of eml, mbox`},
		{[]string{"--nested", "x"}, "--format maildir"},
		{[]string{"--account", "bob", "x"}, `no account "bob" in the archive; it has alice`},
		{[]string{"--mailbox", "Nowhere", "x"}, `no mailbox "Nowhere"`},
		{[]string{"--since", "2020-01-01", "x"}, "--gone"},
		{[]string{filepath.Join(s.archive, "x")}, "lies in the archive"},
		{[]string{s.archive + "/all.zip"}, "lies in the archive"},
		{[]string{"link/y"}, "lies in the archive"},
	} {
		if _, err := os.Lstat(filepath.Join(s.dir, "link")); err != nil {
			if err := os.Symlink(s.archive, filepath.Join(s.dir, "link")); err != nil {
				t.Fatal(err)
			}
		}
		s.run(append([]string{"export"}, c.args...)...).want(2).says(c.says)
	}
	// Another export into the same target runs.
	dir := filepath.Join(s.dir, "busy")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	s.run("export", dir).want(1).says("another export is writing there")
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("it wrote %v, %v", names, err)
	}
}

// testExportKilled kills exports at random moments and starts them again: in the end
// each target is equal to that of an export without a kill.
func testExportKilled(t *testing.T, s *site, all []archived) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	kills := 0
	for _, c := range []struct{ format, name string }{{"eml", "killed"}, {"maildir", "killed"}, {"mbox", "killed"}, {"zip", "killed.zip"}} {
		s := s.forTest(t)
		whole := "whole " + c.name
		began := time.Now()
		s.exportTo(0, "--format", c.format, whole)
		span := time.Since(began)
		for range 2 {
			p := s.start("export", "--format", c.format, c.name)
			alarm := time.NewTimer(time.Duration(random.Int64N(int64(span))))
			select {
			case <-alarm.C:
				p.signal(syscall.SIGKILL)
				<-p.done
			case <-p.done:
			}
			alarm.Stop()
			if p.wait().status < 0 {
				kills++
			}
		}
		if r := s.exportTo(0, "--format", c.format, c.name); r.Sum.Present+r.Sum.Written != len(all) {
			t.Errorf("%s: in the end the export counts %+v, want %d", c.format, r.Sum, len(all))
		}
		if c.format == "zip" {
			names, err := filepath.Glob(filepath.Join(s.dir, ".archiverd.*"))
			if err != nil || len(names) > 0 || sum(read(t, filepath.Join(s.dir, whole))) != sum(read(t, filepath.Join(s.dir, c.name))) {
				t.Errorf("the zip is another; left are %q, %v", names, err)
			}
			continue
		}
		got, want := regularFiles(t, filepath.Join(s.dir, c.name)), regularFiles(t, filepath.Join(s.dir, whole))
		if len(got) != len(want) {
			t.Errorf("%s: %d files, want %d", c.format, len(got), len(want))
		}
		for name, w := range want {
			g := got[name]
			if g == nil || c.format != "mbox" && path.Base(name) != "dovecot-keywords" && path.Base(name) != "maildirfolder" && !g.ModTime().Equal(w.ModTime()) ||
				sum(read(t, filepath.Join(s.dir, c.name, name))) != sum(read(t, filepath.Join(s.dir, whole, name))) {
				t.Errorf("%s: %s is another", c.format, name)
			}
		}
	}
	t.Logf("seed %d: %d killed", seed, kills)
	if kills == 0 {
		t.Error("none could be killed")
	}
}

// testExportFullDisk exports to a disk that is too small, and again to the same disk
// with more space.
func testExportFullDisk(t *testing.T, s *site, all []archived) {
	small := s.forTest(t)
	disk := mountSmall(t, small, "tmpfs", "4M")
	filler := filepath.Join(disk, "filler")
	// Only small mailboxes: without the filler the disk has space for them.
	args := []string{"--mailbox", "INBOX", "--mailbox", "Lists*", "--mailbox", "v1.2/*"}
	for _, format := range []string{"eml", "mbox", "maildir", "all.tar.zst"} {
		target := filepath.Join(disk, format)
		with := append(slices.Clone(args), target)
		if !strings.HasPrefix(format, "all") {
			with = append(with, "--format", format)
		}
		if err := os.WriteFile(filler, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var st syscall.Statfs_t
		if err := syscall.Statfs(disk, &st); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filler, make([]byte, int64(st.Bavail)*st.Bsize), 0o600); err != nil {
			t.Fatal(err)
		}
		r := s.run(append([]string{"export"}, with...)...).want(1)
		if !strings.Contains(r.out+r.err, "no space left on device") {
			t.Errorf("%s: on a full disk it says\n%s%s", format, r.out, r.err)
		}
		regularFiles(t, disk)
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		if r := s.exportTo(0, with...); !r.OK() || r.Sum.Written+r.Sum.Present == 0 {
			t.Errorf("%s: with room again it counts %+v", format, r.Sum)
		}
	}
}

// TestExportDamage exports an archive with damaged files: the report names them, and
// the export has all other messages.
func TestExportDamage(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t).site
	all := s.listAll()
	inbox := slices.DeleteFunc(slices.Clone(all), func(m archived) bool { return m.mailbox != "INBOX" })
	changed, cut, missing := inbox[0], inbox[1], inbox[2]
	for _, m := range []archived{changed, cut, missing} {
		name := filepath.Join(s.archive, m.ID)
		body := read(t, name)
		defer func() {
			if err := os.WriteFile(name, body, 0o600); err != nil {
				t.Error(err)
			}
			if err := os.Chtimes(name, m.InternalDate, m.InternalDate); err != nil {
				t.Error(err)
			}
		}()
	}
	for _, err := range []error{
		os.WriteFile(filepath.Join(s.archive, changed.ID), make([]byte, changed.Size), 0o600),
		os.Truncate(filepath.Join(s.archive, cut.ID), 3),
		os.Remove(filepath.Join(s.archive, missing.ID)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, format := range export.Formats() {
		r := s.exportTo(4, "--format", string(format), "out."+string(format))
		if r.Sum.Damaged != 3 || r.Sum.Written != len(all)-3 || r.OK() || !r.Damage() {
			t.Errorf("%s: the export counts %+v, want 3 of %d damaged", format, r.Sum, len(all))
		}
		s.run("export", "--format", string(format), "again."+string(format)).want(4).
			prints("INCOMPLETE", changed.ID+": damaged: SHA-256 is", cut.ID+": damaged: has 3 octets", missing.ID+": damaged: can't be read")
	}
	// A journal is damaged.
	journal := filepath.Join(s.archive, archive.MailboxDir{Dir: "alice/Lists/go"}.Journal())
	text := read(t, journal)
	if err := os.WriteFile(journal, []byte(strings.Replace(string(text), `"uid":1`, `"uid":7`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range export.Formats() {
		s.run("export", "--format", string(format), "corrupt."+string(format)).want(4).prints("Lists/go: select from mailbox", "journal.jsonl")
	}
	if err := os.WriteFile(journal, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
