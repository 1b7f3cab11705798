package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"archiverd/internal/imapd"
)

// The golden files in testdata/golden hold what the commands print: every help text,
// every report and every JSON document. A change of one shows in its diff.
// A JSON document is an interface for programs: its keys do not change.
//
//	go test ./cmd/archiverd -run Golden -update
//
// writes them anew.
var update = flag.Bool("update", false, "write the golden files and the scripts' expected outputs anew")

const goldenDir = "testdata/golden"

// TestGoldenHelp holds the help text of every command. A help text that nothing prints
// any more has no file.
func TestGoldenHelp(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(goldenDir, "help")
	files := map[string]bool{}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		args := strings.Fields(cmd.CommandPath())
		name := strings.Join(args, "_") + ".txt"
		files[name] = true
		var out, errOut bytes.Buffer
		status := run(context.WithoutCancel(t.Context()), append(args[1:], "--help"), strings.NewReader(""), &out, &errOut)
		if status != 0 || errOut.Len() > 0 {
			t.Errorf("%s --help: exit status %d, standard error %q", cmd.CommandPath(), status, errOut.String())
		}
		compareGolden(t, filepath.Join(dir, name), out.String())
		for _, c := range cmd.Commands() {
			if !c.Hidden && c.Name() != "help" {
				walk(c)
			}
		}
	}
	walk((&app{}).root())
	noOthers(t, dir, files)
}

// compareGolden compares got with a golden file, or writes the file with -update.
func compareGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Errorf("%v; -update writes it", err)
		return
	}
	if got != string(want) {
		t.Errorf("%s is not what is printed; -update writes it anew:\n%s", path, diff.Diff("golden", want, "printed", []byte(got)))
	}
}

// noOthers checks that dir has no file beside the named ones. With -update it removes them.
func noOthers(t *testing.T, dir string, names map[string]bool) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if names[e.Name()] {
			continue
		}
		if !*update {
			t.Errorf("no test prints %s", filepath.Join(dir, e.Name()))
		} else if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			t.Error(err)
		}
	}
}

// goldenReports runs commands at a site and compares what each prints with a golden file.
type goldenReports struct {
	*site
	folder string // in testdata/golden
	files  map[string]bool
	start  time.Time
}

// newGoldenReports makes a site whose commands run in the zone UTC. At the end of the test the
// folder has no file that no command printed.
func newGoldenReports(t *testing.T, folder string) *goldenReports {
	t.Helper()
	g := &goldenReports{site: newSite(t), folder: filepath.Join(goldenDir, folder), files: map[string]bool{}, start: time.Now().Truncate(time.Second)}
	g.env = append(g.env, "TZ=UTC")
	t.Cleanup(func() {
		if !t.Failed() {
			noOthers(t, g.folder, g.files)
		}
	})
	return g
}

// report runs a command and compares its exit status and all that it prints with the file
// NAME.txt.
func (g *goldenReports) report(name string, status int, args ...string) {
	g.t.Helper()
	r := g.run(args...).want(status)
	text := fmt.Sprintf("$ archiverd %s\n", quoteArgs(args)) + r.out
	if r.err != "" {
		text += "-- standard error --\n" + r.err
	}
	if status != 0 {
		text += fmt.Sprintf("-- exit status %d --\n", status)
	}
	g.compare(name+".txt", text)
}

// both compares a command's report, and then its JSON document with the file NAME.json. The
// command must change nothing.
func (g *goldenReports) both(name string, status int, args ...string) {
	g.t.Helper()
	g.report(name, status, args...)
	g.json(name, status, args...)
}

// json compares the JSON document that a command prints with the file NAME.json.
func (g *goldenReports) json(name string, status int, args ...string) {
	g.t.Helper()
	r := g.run(append(slices.Clone(args), "--json")...).want(status)
	var v any
	r.decode(&v)
	g.compare(name+".json", r.out)
}

func (g *goldenReports) compare(file, text string) {
	g.t.Helper()
	if g.files[file] {
		g.t.Fatalf("two reports are called %s", file)
	}
	g.files[file] = true
	compareGolden(g.t, filepath.Join(g.folder, file), scrub(text, g.dir, g.start))
}

// quoteArgs writes arguments as a shell takes them.
func quoteArgs(args []string) string {
	list := slices.Clone(args)
	for i, a := range list {
		if strings.ContainsAny(a, ` *"`) {
			list[i] = "'" + a + "'"
		}
	}
	return strings.Join(list, " ")
}

var (
	scrubPort    = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	scrubTime    = regexp.MustCompile(`20\d\d-\d\d-\d\d(?:([T ])\d\d:\d\d(?::\d\d)?(\.\d+)?(Z)?)?`)
	scrubElapsed = regexp.MustCompile(`\b(\d+h)?(\d+m)?\d+(\.\d+)? ?(ns|µs|ms|s)\b`)
	scrubAgo     = regexp.MustCompile(`\b\d+ (second|minute)s? ago\b`)
	scrubJSON    = regexp.MustCompile(`("(?:elapsed_ns|last_day)": )\d+`)
	scrubSpeed   = regexp.MustCompile(`[\d.,]+ ([KM]i)?B/s`)
	scrubSeal    = regexp.MustCompile(`(seal"?:? "?)[0-9a-f]{64}`)
	scrubID      = regexp.MustCompile(`("id": ")[a-z2-7]{26}"`)
	scrubImport  = regexp.MustCompile(`(\bold/\S*Z\.)\d+`)
	scrubDigit   = regexp.MustCompile(`\d`)
)

// scrub replaces what differs from run to run in the output of a test that began at start:
//   - the site's directory and ports,
//   - the times at which the test ran (0000-00-00T00:00:00Z), elapsed times and speeds,
//   - the traffic of the day, which depends on how the connections waited,
//   - the archive's ID and the seals of its journals, which have those times,
//   - the random UIDVALIDITYs of the imported account, old.
func scrub(text, dir string, start time.Time) string {
	text = strings.ReplaceAll(text, dir, "/site")
	text = scrubPort.ReplaceAllString(text, "127.0.0.1:PORT")
	text = scrubTime.ReplaceAllStringFunc(text, func(s string) string {
		if !within(s, start, time.Now()) {
			return s
		}
		if parts := scrubTime.FindStringSubmatch(s); parts[2] != "" {
			s = strings.Replace(s, parts[2], "", 1)
		}
		return scrubDigit.ReplaceAllString(s, "0")
	})
	text = scrubSpeed.ReplaceAllString(text, "0 B/s")
	text = scrubElapsed.ReplaceAllString(text, "0 s")
	text = scrubAgo.ReplaceAllString(text, "just now")
	text = scrubJSON.ReplaceAllString(text, "${1}0")
	text = scrubSeal.ReplaceAllString(text, "${1}"+strings.Repeat("0", 64))
	text = scrubID.ReplaceAllString(text, `${1}ARCHIVE"`)
	return scrubImport.ReplaceAllString(text, "${1}UIDVALIDITY")
}

// within reports whether a written time in UTC, perhaps without seconds or clock, may mean one
// from start to end.
func within(text string, start, end time.Time) bool {
	text = strings.Replace(strings.TrimSuffix(text, "Z"), "T", " ", 1)
	for _, f := range []struct {
		layout string
		unit   time.Duration
	}{{time.DateTime, time.Second}, {"2006-01-02 15:04", time.Minute}, {time.DateOnly, 24 * time.Hour}} {
		if at, err := time.Parse(f.layout, text); err == nil {
			return !at.Before(start.Truncate(f.unit)) && !at.After(end)
		}
	}
	return false
}

// goldenServer is the mail server of the golden reports: ada's mailboxes have the demo's mail and fixed
// UIDVALIDITYs, bob's INBOX is empty.
type goldenServer struct {
	*imapd.Server
	ada, bob *imapd.User
	addr     string
}

func newGoldenServer(t *testing.T) *goldenServer {
	t.Helper()
	s := &goldenServer{Server: imapd.New(imapd.Options{UIDValidity: 1700000001})}
	t.Cleanup(func() { s.Close() })
	s.ada, s.bob = s.AddUser("ada", "correct horse"), s.AddUser("bob", "battery staple")
	if err := fillDemo(s.ada); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.addr, err = s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	return s
}

// accounts writes the site's configuration. One connection makes the order of events the same in
// each run.
func (s *goldenServer) accounts(g *goldenReports, adaPassword string) {
	g.t.Helper()
	g.write("ada.password", adaPassword+"\n")
	g.write("bob.password", "battery staple\n")
	text := "accounts:\n"
	for _, name := range []string{"ada", "bob"} {
		text += fmt.Sprintf("  - name: %s\n    server: %s\n    tls: none\n    username: %s\n    password_file: %s.password\n"+
			"    connections: 1\n    mailboxes: {exclude: ['Drafts']}\n", name, s.addr, name, name)
	}
	g.configure(text)
}

// ls lists the files of a folder, with their sizes.
func (g *goldenReports) ls(name, folder string) {
	g.t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(filepath.Join(g.dir, folder), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		fmt.Fprintf(&out, "%8d  %s\n", info.Size(), strings.TrimPrefix(path, g.dir+"/"))
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	g.compare(name+".txt", out.String())
}
