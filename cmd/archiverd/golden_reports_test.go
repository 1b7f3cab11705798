package main

import (
	"os"
	"path/filepath"
	"testing"

	"archiverd/internal/demomail"
)

// TestGoldenReports holds what every command prints that works on an account: from a configuration that is
// not right yet, over a first sync and what changes at the server, to a restore and a purge.
// The steps build on each other.
func TestGoldenReports(t *testing.T) {
	t.Parallel()
	g := newGoldenReports(t, "reports")
	s := newGoldenServer(t)
	goldenBefore(g, s)
	goldenFirstSync(g)
	goldenReading(g)
	goldenChanges(g, s)
	goldenExport(g)
	goldenImport(g)
	goldenRestore(g)
	goldenDrill(g)
	goldenRemote(g, s)
	goldenDamage(g)
}

// goldenBefore is what is printed before anything works.
func goldenBefore(g *goldenReports, s *goldenServer) {
	g.t.Helper()
	g.report("config_missing", 2, "sync")
	g.write("config.yaml", "archive:\n  path: archive\nschedule: every day\naccounts:\n  - name: ada\n    sever: localhost\n    username: ada\n")
	g.report("config_faults", 2, "config", "check")
	s.accounts(g, "wrong")
	g.report("sync_refused", 1, "sync", "ada")
	g.both("status_refused", 1, "status")
	s.accounts(g, "correct horse")
}

func goldenFirstSync(g *goldenReports) {
	g.t.Helper()
	g.report("config_check", 0, "config", "check")
	g.report("config_check_connect", 0, "config", "check", "--connect")
	g.report("sync_first", 0, "sync")
	g.both("sync_unchanged", 0, "sync")
	g.report("sync_unknown_account", 2, "sync", "adda")
	g.both("status", 0, "status")
	g.both("status_check", 0, "status", "--check")
	g.both("verify", 0, "verify")
}

func goldenReading(g *goldenReports) {
	g.t.Helper()
	const letter = "1700000001.8.eml" // a forwarded message
	g.both("list", 0, "list")
	g.both("list_account", 0, "list", "ada")
	g.both("list_mailbox", 0, "list", "ada", "INBOX")
	g.both("show", 0, "show", letter)
	g.report("show_headers", 0, "show", "--all-headers", letter)
	g.report("show_html", 0, "show", "--html", "1700000001.5.eml")
	g.report("show_part", 0, "show", "--part", "1", letter)
	g.report("show_save", 0, "show", "--save", "saved", letter)
	g.report("show_unknown", 2, "show", "1700000001.99.eml")
	g.both("search", 0, "search", "clock", "-subject:newsletter")
	g.both("search_nothing", 0, "search", "perpetuum")
	g.report("search_fault", 2, "search", "larger:much")
	g.report("index", 0, "index")
	g.report("index_again", 0, "index")
	g.report("search_indexed", 0, "search", "owl")
}

// goldenChanges is what is printed after messages arrived, disappeared and were flagged.
func goldenChanges(g *goldenReports, s *goldenServer) {
	g.t.Helper()
	later, err := demomail.Later()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := changeDemo(s.ada, later); err != nil {
		g.t.Fatal(err)
	}
	g.both("status_check_changes", 0, "status", "--check", "ada")
	g.json("sync_changes", 0, "sync", "ada")
	g.report("status_changes", 0, "status", "ada")
	g.both("list_gone", 0, "list", "ada", "--gone")
	g.report("rebuild", 0, "rebuild")
	g.both("status_rebuilt", 0, "status")
	g.report("sync_rebuilt", 0, "sync")
}

func goldenExport(g *goldenReports) {
	g.t.Helper()
	g.report("export", 0, "export", "--mailbox", "R&D", "out")
	g.ls("export_files", "out")
	g.json("export_mbox", 0, "export", "--account", "ada", "--after", "2026-04-01", "spring.mbox")
	g.report("export_maildir", 0, "export", "--account", "ada", "--format", "maildir", "maildir")
	g.report("export_zip", 0, "export", "all.zip")
	g.report("export_again", 0, "export", "all.zip")
	g.report("export_format", 2, "export", "--format", "pst", "all.pst")
}

func goldenImport(g *goldenReports) {
	g.t.Helper()
	g.both("import_dry_run", 0, "import", "--account", "old", "maildir", "--dry-run")
	g.report("import", 0, "import", "--account", "old", "maildir")
	g.both("import_again", 0, "import", "--account", "old", "maildir")
	g.report("status_imported", 0, "status", "old")
}

func goldenRestore(g *goldenReports) {
	g.t.Helper()
	restore := []string{"restore", "--to", "bob", "--from", "ada", "--mailbox", "INBOX", "--mailbox", "Archive*"}
	g.both("restore_plan", 0, append(restore, "--dry-run")...)
	g.report("restore_unconfirmed", 2, restore...)
	g.json("restore", 0, append(restore, "--yes")...)
	g.report("restore_again", 0, restore...)
	g.report("restore_one", 0, "restore", "--to", "bob", "--into", "Found", "--yes", "1700000001.8.eml")
	g.report("restore_flags", 0, append(restore, "--flags-only", "--dry-run")...)
	g.report("sync_restored", 0, "sync", "bob")
}

func goldenDrill(g *goldenReports) {
	g.t.Helper()
	g.both("drill", 0, "drill", "ada", "--sample", "all")
	g.report("drill_to", 0, "drill", "ada", "--sample", "all", "--to", "bob", "--into", "Rehearsal")
	g.report("status_drilled", 0, "status", "ada")
}

func goldenRemote(g *goldenReports, s *goldenServer) {
	g.t.Helper()
	g.both("remote_list", 0, "remote", "list", "ada", "--capabilities")
	g.both("remote_search", 0, "remote", "search", "ada", "R&D", "SEEN")
	g.both("remote_show", 0, "remote", "show", "ada", "INBOX", "8")
	g.report("remote_create", 0, "remote", "create", "bob", "New")
	g.report("remote_rename", 0, "remote", "rename", "bob", "New", "Newer")
	g.report("remote_delete", 0, "remote", "delete", "bob", "Newer", "--yes")
	g.both("remote_purge", 0, "remote", "purge", "ada", "--older-than", "1d")
	g.report("remote_unknown", 2, "remote", "search", "ada", "Nowhere")
}

// goldenDamage is what is printed about a file that has changed. The file is mended at the end.
func goldenDamage(g *goldenReports) {
	g.t.Helper()
	id, mend := g.damage("ada", "INBOX")
	g.both("verify_damaged", exitDamage, "verify")
	g.report("show_damaged", exitDamage, "show", id)
	g.both("drill_damaged", 1, "drill", "ada", "--sample", "all")
	g.report("status_damaged", 1, "status", "ada")
	mend()
	g.report("drill_mended", 0, "drill", "ada", "--sample", "all")
	if err := os.RemoveAll(filepath.Join(g.dir, "out")); err != nil {
		g.t.Error(err)
	}
}

// TestGoldenPast holds what the commands print of an archive's past. Its events have fixed times.
func TestGoldenPast(t *testing.T) {
	t.Parallel()
	dir := newPast(t)
	g := newGoldenReports(t, "past")
	g.archive = filepath.Join(g.dir, "archive")
	if err := os.Symlink(dir, filepath.Join(g.dir, "past")); err != nil {
		t.Fatal(err)
	}
	g.write("config.yaml", "archive:\n  path: past\naccounts:\n  - {name: home, server: localhost, username: u, password: p, tls: none}\n")
	g.both("list_at", 0, "list", "home", "--at", "2026-03-01")
	g.both("list_mailbox_at", 0, "list", "home", "INBOX", "--at", "2026-03-01")
	g.report("list_at_before", 2, "list", "home", "Bin", "--at", "2026-03-02")
	g.both("list_gone", 0, "list", "--gone")
	g.both("list_moved", 0, "list", "home", "--moved")
	g.both("log", 0, "log")
	g.report("log_short", 0, "log", "home", "--short")
	g.report("log_nothing", 0, "log", "--since", "2026-03-05")
	g.both("show_at", 0, "show", "Bin/2026-02/20260201T000000Z.7.5.eml", "--at", "2026-03-03")
	g.both("search_gone", 0, "search", "one", "--gone")
	g.report("export_at", 0, "export", "--at", "2026-03-01", "--mailbox", "Trash", "out")
	g.report("status_without_runs", 0, "status", "--archive", "past")
}
