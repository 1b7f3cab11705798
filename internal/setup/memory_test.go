package setup

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"archiverd/archive"
	"archiverd/internal/config"
)

// place is where archives are opened in a test.
type place struct {
	t   *testing.T
	dir string // the archive is in mail
	cfg *config.Config
	log strings.Builder // of the last open
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{t: t, dir: t.TempDir()}
	var err error
	p.cfg, err = config.Single(config.Flags{Server: "imap.example.com", Username: "me", Archive: filepath.Join(p.dir, "mail")})
	if err != nil {
		t.Fatal(err)
	}
	p.cfg.Archive.Memory = filepath.Join(p.dir, "memory")
	return p
}

// open opens and closes the archive, and returns its id.
func (p *place) open() (string, error) {
	p.log.Reset()
	parts, err := Open(p.cfg, slog.New(slog.NewTextHandler(&p.log, nil)))
	if err != nil {
		return "", err
	}
	return parts.Committer.Archive.ID(), parts.Close()
}

// begin is open for a new archive.
func (p *place) begin(what string) string {
	p.t.Helper()
	id, err := p.open()
	if err != nil || !strings.Contains(p.log.String(), "began a new archive in "+p.cfg.Archive.Path) {
		p.t.Fatalf("%s: %v, log %q", what, err, p.log.String())
	}
	return id
}

func (p *place) move(from, to string) {
	p.t.Helper()
	if err := os.Rename(filepath.Join(p.dir, from), filepath.Join(p.dir, to)); err != nil {
		p.t.Fatal(err)
	}
}

// An archive that vanished with its state database is not begun anew in its place, until
// what remembers it is removed. Another archive in that place is opened, and remembered.
func TestVanishedArchiveIsNotBegunAnew(t *testing.T) {
	p := newPlace(t)
	mail := p.cfg.Archive.Path
	first := p.begin("the first time")
	if id, err := p.open(); id != first || err != nil || strings.Contains(p.log.String(), "began") {
		t.Errorf("opened again it is %q, %v, log %q", id, err, p.log.String())
	}

	p.move("mail", "first")
	for _, empty := range []bool{false, true} {
		if empty {
			if err := os.Mkdir(mail, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		_, err := p.open()
		if !errors.Is(err, archive.ErrNotArchive) || !strings.Contains(err.Error(), first) || !strings.Contains(err.Error(), memoryFile(p.cfg)) {
			t.Errorf("in its place: %v", err)
		}
	}
	if list, err := os.ReadDir(mail); err != nil || len(list) != 0 {
		t.Errorf("the place has %v, %v", list, err)
	}
	if err := os.Remove(memoryFile(p.cfg)); err != nil {
		t.Fatal(err)
	}
	second := p.begin("after its memory was removed")
	p.move("mail", "second")
	p.move("first", "mail")
	if id, err := p.open(); id != first || err != nil || recall(p.cfg) != first {
		t.Errorf("another archive in its place is %q, %v; remembered is %q", id, err, recall(p.cfg))
	}

	p.cfg.Archive.ID = second
	if _, err := p.open(); err == nil || !strings.Contains(err.Error(), second+" is expected") {
		t.Errorf("with the id of another in the configuration: %v", err)
	}
	memory := p.cfg.Archive.Memory
	p.cfg.Archive.ID, p.cfg.Archive.Memory = "", ""
	if err := os.RemoveAll(mail); err != nil {
		t.Fatal(err)
	}
	p.begin("without a memory")
	if list, err := os.ReadDir(memory); err != nil || len(list) != 1 {
		t.Errorf("the memory has %v, %v", list, err)
	}
}

// A memory that can't be written or read costs nothing.
func TestMemoryThatCannotBeUsed(t *testing.T) {
	at := newPlace(t)
	dir, cfg := at.dir, at.cfg
	cfg.Archive.Memory = filepath.Join(dir, "file", "memory")
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := remember(cfg, "id"); err == nil {
		t.Error("a file is a directory")
	}
	cfg.Archive.Memory = filepath.Join(dir, "memory")
	if err := remember(cfg, "id"); err != nil || recall(cfg) != "id" {
		t.Errorf("remembered is %q, %v", recall(cfg), err)
	}
	for _, text := range []string{"", "{", `{"path":"/elsewhere","id":"id"}`, strings.Repeat(" ", maxMemory) + `{}`} {
		if err := os.WriteFile(memoryFile(cfg), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if id := recall(cfg); id != "" {
			t.Errorf("of %.20q it recalls %q", text, id)
		}
	}
	p, err := Open(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil || recall(cfg) != p.Committer.Archive.ID() {
		t.Errorf("the archive is opened, %v, and remembered is %q", err, recall(cfg))
	}
}
