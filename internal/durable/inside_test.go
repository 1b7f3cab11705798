package durable

import (
	"os"
	"path/filepath"
	"testing"
)

// TestIsInside: by paths that do not exist yet, and through symbolic links.
func TestIsInside(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"archive/account", "archive2", "other"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"link": "archive", "other/in": "../archive/account", "archive/out": "../other"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		path, of string
		want     bool
	}{
		{"archive", "archive", true},
		{"archive/account/new/er", "archive", true},
		{"archive", "archive/account", false},
		{"archive2", "archive", false},
		{"other", "archive", false},
		{"other/in/new", "archive", true},
		{"link/account", "archive", true},
		{"archive/account", "link", true},
		{"archive/out/new", "archive", false},
		{"none/new", "archive", false},
		{"none/new", "none", true},
	} {
		if got := IsInside(filepath.Join(dir, c.path), filepath.Join(dir, c.of)); got != c.want {
			t.Errorf("%s inside %s: %v", c.path, c.of, got)
		}
	}
	t.Chdir(filepath.Join(dir, "archive"))
	if !IsInside("account", dir) || IsInside("../other", ".") {
		t.Error("a relative path is not resolved")
	}
}
