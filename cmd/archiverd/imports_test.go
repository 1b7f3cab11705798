package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestImportsRunOneWay holds the house together: cmd → sync → state → archive,
// and who may know what.
func TestImportsRunOneWay(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Standard", "archiverd/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	imports := map[string][]string{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
			Standard   bool
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if !p.Standard {
			imports[p.ImportPath] = p.Imports
		}
	}
	deps := func(pkg string) map[string]bool {
		all := map[string]bool{}
		var walk func(string)
		walk = func(p string) {
			for _, i := range imports[p] {
				if !all[i] {
					all[i] = true
					walk(i)
				}
			}
		}
		walk(pkg)
		return all
	}
	within := func(pkg, below string) bool { return pkg == below || strings.HasPrefix(pkg, below+"/") }

	// What a package must not reach, directly or through others.
	for _, rule := range []struct {
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
		{"archiverd/internal/testing/dovecot", []string{"archiverd/archive", "archiverd/sync", "archiverd/internal/wire", "github.com/emersion"}},
	} {
		if _, ok := imports[rule.pkg]; !ok {
			t.Errorf("there is no package %s", rule.pkg)
		}
		for dep := range deps(rule.pkg) {
			for _, n := range rule.never {
				if within(dep, n) {
					t.Errorf("%s reaches %s", rule.pkg, dep)
				}
			}
		}
	}

	// Who may import what, directly.
	for _, rule := range []struct {
		known string
		by    []string
	}{
		{"gopkg.in/yaml.v3", []string{"archiverd/internal/config"}},
		{"modernc.org/sqlite", []string{"archiverd/internal/search"}},
		{"go.etcd.io/bbolt", []string{"archiverd/state"}},
		{"github.com/emersion/go-imap/v2", []string{"archiverd/sync", "archiverd/internal/wire", "archiverd/internal/imapd", "archiverd/internal/testing/hostile", "archiverd/cmd/archiverd"}},
		{"github.com/emersion/go-imap/v2/imapclient", []string{"archiverd/internal/wire"}},
		{"github.com/emersion/go-imap/v2/imapserver", []string{"archiverd/internal/imapd", "archiverd/internal/testing/hostile"}},
		{"github.com/robfig/cron/v3", []string{"archiverd/internal/schedule", "archiverd/internal/config"}},
		{"github.com/spf13/cobra", []string{"archiverd/cmd/archiverd"}},
		{"archiverd/internal/imapd", []string{"archiverd/cmd/archiverd"}},
		{"archiverd/internal/testing/dovecot", []string{"archiverd/internal/bench", "archiverd/internal/testing/cyrus"}},
		{"testing", []string{"archiverd/internal/testing/process", "archiverd/internal/testing/dovecot", "archiverd/internal/testing/cyrus", "archiverd/internal/bench"}},
	} {
		used := false
		for pkg, list := range imports {
			if !within(pkg, "archiverd") || !slices.Contains(list, rule.known) {
				continue
			}
			used = true
			if !slices.Contains(rule.by, pkg) {
				t.Errorf("%s imports %s, which only %q may", pkg, rule.known, rule.by)
			}
		}
		if !used {
			t.Errorf("nobody imports %s: the rule about it says nothing", rule.known)
		}
	}
}
