package daemon

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"archiverd/internal/durable"
)

// listen opens the control socket at path with an empty report.
func listen(t *testing.T, path string) *control {
	t.Helper()
	c, err := listenControl(path, func() (*Report, error) { return &Report{ID: "x"}, nil })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A control.socket that is somebody's file, pipe or live socket stays as it was.
func TestForeignFileIsNoControlSocket(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	live, err := net.Listen("unix", path("live"))
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	datagrams, err := net.ListenPacket("unixgram", path("datagrams"))
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	err = errors.Join(os.WriteFile(path("letter"), []byte("Dear Ada\n"), 0o600), os.WriteFile(path("empty"), nil, 0o600),
		os.Symlink("letter", path("link")), syscall.Mkfifo(path("pipe"), 0o600), os.Mkdir(path("directory"), 0o700))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"live", "datagrams", "letter", "empty", "link", "pipe", "directory"} {
		before, err := os.Lstat(path(name))
		if err != nil {
			t.Fatal(err)
		}
		if c, err := listenControl(path(name), nil); err == nil {
			t.Errorf("%s was replaced: %v", name, c.Close())
		}
		if after, err := os.Lstat(path(name)); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s is another file now: %v", name, err)
		}
	}
	if text, err := os.ReadFile(path("letter")); err != nil || string(text) != "Dear Ada\n" {
		t.Errorf("the letter is %q, %v", text, err)
	}
}

// A socket that a killed daemon left is replaced. What lies at the path when the daemon ends
// is removed only if it is the daemon's own socket.
func TestControlSocketIsRemovedByItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	c := listen(t, path)
	if report, err := Ask(context.Background(), path); err != nil || report.ID != "x" {
		t.Errorf("the daemon answers %+v, %v", report, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket is still there")
	}
	if _, err := Ask(context.Background(), path); !errors.Is(err, ErrNotRunning) {
		t.Errorf("without a socket: %v, want ErrNotRunning", err)
	}

	c = listen(t, path)
	if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte("Dear Ada\n"), 0o600), c.Close()); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "Dear Ada\n" {
		t.Errorf("the letter is %q, %v", text, err)
	}
}

// A socket of another user is not asked, and one of another user that nobody answers is
// not removed.
func TestControlSocketOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	path := filepath.Join(t.TempDir(), "control.sock")
	c := listen(t, path)
	defer c.Close()
	if err := os.Chown(path, 1000, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := Ask(context.Background(), path); !errors.Is(err, durable.ErrForeign) {
		t.Errorf("asked: %v, want ErrForeign", err)
	}
	if err := removeDeadSocket(path); !errors.Is(err, durable.ErrForeign) {
		t.Errorf("removed: %v, want ErrForeign", err)
	}
}
