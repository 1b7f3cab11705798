package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

// allowedImports lists every package of the module, from the top floor down, with the
// packages of the module that it may import. Nothing imports upwards: cmd → daemon →
// setup → jobs → engine → (commit, quota, session) → state → archive → leaves.
var allowedImports = []struct{ pkg, imports string }{
	// Test support, which other packages import in their tests only.
	{"internal/bench", "archive internal/testing/dovecot internal/testing/hostile internal/testing/process internal/uid"},
	{"internal/testing/world", "archive state internal/commit internal/imapd internal/session internal/testing/dovecot internal/testing/hostile internal/testing/process internal/wire"},
	{"internal/testing/cyrus", "internal/testing/dovecot internal/testing/process"},
	{"internal/testing/dovecot", "internal/testing/process internal/utf7"},
	{"internal/testing/hostile", "internal/testing/process"},
	{"internal/testing/process", ""},

	{"cmd/archiverd", "archive archive/history state sync sync/check sync/drill sync/remote sync/restore " +
		"internal/commit internal/config internal/daemon internal/demomail internal/durable internal/export internal/fingerprint internal/imapd internal/importer " +
		"internal/logkey internal/maildir internal/mbox internal/message internal/pattern internal/progress internal/quota internal/safetext internal/schedule " +
		"internal/search internal/session internal/setup internal/source internal/ui internal/uid internal/utf7 internal/wire"},
	{"internal/daemon", "archive state sync sync/drill internal/commit internal/config internal/durable internal/logkey internal/progress internal/quota internal/safetext internal/schedule internal/search internal/setup"},
	{"internal/setup", "archive state sync internal/commit internal/config internal/durable internal/logkey internal/session internal/wire"},

	// The jobs. The importer imports neither session nor wire.
	{"sync/drill", "archive archive/history sync/restore internal/durable internal/fingerprint internal/imapd internal/progress internal/session internal/uid internal/wire"},
	{"sync/check", "archive state sync internal/pattern internal/safetext internal/session internal/uid internal/wire"},
	{"sync/remote", "archive sync internal/message internal/pattern internal/session internal/uid internal/utf7 internal/wire"},
	{"internal/importer", "archive state internal/commit internal/progress internal/safetext internal/source"},
	{"sync/restore", "archive archive/history internal/fingerprint internal/logkey internal/pattern internal/progress internal/session internal/uid internal/utf7 internal/wire"},
	{"sync", "archive state internal/commit internal/fingerprint internal/logkey internal/message internal/progress internal/quota internal/safetext internal/session internal/uid internal/wire"},

	{"internal/commit", "archive state internal/logkey"},
	{"internal/quota", "state internal/progress internal/uid"},
	{"internal/schedule", "internal/logkey"},
	{"internal/search", "archive archive/history internal/durable internal/message internal/pattern"},
	{"internal/export", "archive archive/history internal/durable internal/maildir internal/mbox internal/message"},

	{"state", "archive internal/durable internal/uid"},
	{"archive/history", "archive internal/uid"},
	{"internal/fingerprint", "archive"},
	{"internal/source", "archive internal/durable internal/maildir internal/mbox internal/message internal/pattern"},
	{"internal/session", "internal/logkey internal/uid internal/wire"},

	{"archive", "internal/durable internal/pattern internal/uid"},
	{"internal/wire", "internal/pattern internal/redact internal/safetext internal/uid internal/utf7"},

	// The leaves.
	{"internal/ui", "internal/progress internal/safetext"},
	{"internal/config", "internal/pattern internal/redact"},
	{"internal/demomail", ""},
	{"internal/durable", ""},
	{"internal/imapd", "internal/pattern internal/safetext internal/uid"},
	{"internal/logkey", ""},
	{"internal/maildir", "internal/utf7"},
	{"internal/mbox", ""},
	{"internal/message", "internal/safetext"},
	{"internal/pattern", ""},
	{"internal/progress", ""},
	{"internal/redact", "internal/utf7"},
	{"internal/safetext", ""},
	{"internal/uid", ""},
	{"internal/utf7", ""},
}

// unreachable lists what a package must not reach, directly or through others, with
// all that is below it.
var unreachable = []struct {
	pkg   string
	never []string
}{
	{"archiverd/archive", []string{"archiverd/archive/history", "archiverd/state", "archiverd/sync", "archiverd/internal/wire", "archiverd/internal/config", "github.com/emersion", "go.etcd.io/bbolt", "gopkg.in/yaml.v3", "net"}},
	{"archiverd/sync", []string{"archiverd/internal/config", "archiverd/cmd", "gopkg.in/yaml.v3", "github.com/spf13/cobra"}},
	{"archiverd/internal/commit", []string{"archiverd/sync", "archiverd/internal/wire", "archiverd/internal/session", "archiverd/internal/config"}},
	{"archiverd/internal/quota", []string{"archiverd/sync", "archiverd/internal/wire", "archiverd/internal/session", "archiverd/internal/config"}},
	{"archiverd/internal/importer", []string{"archiverd/sync", "archiverd/internal/wire", "archiverd/internal/session", "github.com/emersion/go-imap", "archiverd/internal/config"}},
	{"archiverd/internal/wire", []string{"archiverd/archive", "archiverd/state", "archiverd/sync", "archiverd/internal/config"}},
	{"archiverd/internal/message", []string{"archiverd/archive", "archiverd/sync", "github.com/emersion/go-imap"}},
	{"archiverd/internal/search", []string{"archiverd/state", "archiverd/sync", "archiverd/internal/wire", "github.com/emersion/go-imap"}},
	{"archiverd/internal/source", []string{"archiverd/state", "archiverd/sync", "archiverd/internal/wire", "archiverd/internal/config", "github.com/emersion/go-imap"}},
	{"archiverd/internal/config", []string{"archiverd/archive", "archiverd/state", "archiverd/sync", "github.com/emersion/go-imap"}},
	{"archiverd/internal/testing/world", []string{"archiverd/sync", "archiverd/internal/importer", "archiverd/internal/config", "archiverd/cmd"}},
	{"archiverd/internal/testing/dovecot", []string{"archiverd/archive", "archiverd/sync", "archiverd/internal/wire", "github.com/emersion"}},
}

// importers lists packages that only some packages of the module may import.
var importers = []struct {
	pkg string
	by  []string
}{
	{"gopkg.in/yaml.v3", []string{"archiverd/internal/config"}},
	{"modernc.org/sqlite", []string{"archiverd/internal/search"}},
	{"go.etcd.io/bbolt", []string{"archiverd/state"}},
	{"github.com/emersion/go-imap/v2", []string{"archiverd/sync", "archiverd/internal/wire", "archiverd/internal/imapd", "archiverd/internal/testing/hostile", "archiverd/cmd/archiverd"}},
	{"github.com/emersion/go-imap/v2/imapclient", []string{"archiverd/internal/wire"}},
	{"github.com/emersion/go-imap/v2/imapserver", []string{"archiverd/internal/imapd", "archiverd/internal/testing/hostile"}},
	{"github.com/robfig/cron/v3", []string{"archiverd/internal/schedule", "archiverd/internal/config"}},
	{"github.com/spf13/cobra", []string{"archiverd/cmd/archiverd"}},
	{"archiverd/internal/imapd", []string{"archiverd/cmd/archiverd", "archiverd/sync/drill", "archiverd/internal/testing/world"}},
	{"archiverd/internal/testing/dovecot", []string{"archiverd/internal/bench", "archiverd/internal/testing/cyrus", "archiverd/internal/testing/world"}},
	{"testing", []string{"archiverd/internal/testing/process", "archiverd/internal/testing/dovecot", "archiverd/internal/testing/cyrus", "archiverd/internal/testing/world", "archiverd/internal/bench"}},
}

// imports are the direct imports of each package of the module and of what it depends
// on, without the standard library's own.
var imports = sync.OnceValues(func() (map[string][]string, error) {
	out, err := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Standard", "archiverd/...").Output()
	if err != nil {
		return nil, err
	}
	found := map[string][]string{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
			Standard   bool
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return nil, err
		}
		if !p.Standard {
			found[p.ImportPath] = p.Imports
		}
	}
})

func mustListImports(t *testing.T) map[string][]string {
	t.Helper()
	found, err := imports()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return found
}

// isWithin reports whether pkg is below or lies under it.
func isWithin(pkg, below string) bool { return pkg == below || strings.HasPrefix(pkg, below+"/") }

// TestImportsRunOneWay compares the imports of every package of the module with
// allowedImports. A row may import only what has a row below its own.
func TestImportsRunOneWay(t *testing.T) {
	found := mustListImports(t)
	rows := map[string]int{}
	for i, row := range allowedImports {
		rows[row.pkg] = i
	}
	for i, row := range allowedImports {
		allowed := strings.Fields(row.imports)
		if _, ok := found["archiverd/"+row.pkg]; !ok {
			t.Errorf("there is no package %s", row.pkg)
		}
		for _, pkg := range allowed {
			if below, ok := rows[pkg]; !ok || below <= i {
				t.Errorf("%s may import %s, which has no row below", row.pkg, pkg)
			}
		}
		for _, pkg := range found["archiverd/"+row.pkg] {
			if name, ours := strings.CutPrefix(pkg, "archiverd/"); ours && !slices.Contains(allowed, name) {
				t.Errorf("%s imports %s", row.pkg, name)
			}
		}
	}
	for pkg := range found {
		if name, ours := strings.CutPrefix(pkg, "archiverd/"); ours {
			if _, ok := rows[name]; !ok {
				t.Errorf("%s has no row in allowedImports", name)
			}
		}
	}
}

// TestUnreachablePackages checks unreachable.
func TestUnreachablePackages(t *testing.T) {
	found := mustListImports(t)
	for _, row := range unreachable {
		if _, ok := found[row.pkg]; !ok {
			t.Errorf("there is no package %s", row.pkg)
		}
		reached := map[string]bool{}
		var walk func(string)
		walk = func(pkg string) {
			for _, i := range found[pkg] {
				if !reached[i] {
					reached[i] = true
					walk(i)
				}
			}
		}
		walk(row.pkg)
		for pkg := range reached {
			if slices.ContainsFunc(row.never, func(n string) bool { return isWithin(pkg, n) }) {
				t.Errorf("%s reaches %s", row.pkg, pkg)
			}
		}
	}
}

// TestImporters checks importers.
func TestImporters(t *testing.T) {
	found := mustListImports(t)
	for _, row := range importers {
		used := false
		for pkg, list := range found {
			if !isWithin(pkg, "archiverd") || !slices.Contains(list, row.pkg) {
				continue
			}
			used = true
			if !slices.Contains(row.by, pkg) {
				t.Errorf("%s imports %s, which only %q may", pkg, row.pkg, row.by)
			}
		}
		if !used {
			t.Errorf("no package imports %s: its row checks nothing", row.pkg)
		}
	}
}
