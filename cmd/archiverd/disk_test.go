package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"archiverd/internal/testing/dovecot"
)

// mountSmall mounts a file system of that size, an ext4 on a loop device or a tmpfs,
// as the site's archive, and returns the mount point.
func mountSmall(t *testing.T, s *site, kind, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount")
	}
	disk := filepath.Join(s.dir, "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	args := []string{"-t", "tmpfs", "-o", "size=" + size, "tmpfs", disk}
	if kind == "ext4" {
		image := filepath.Join(s.dir, "image")
		if out, err := exec.Command("truncate", "-s", size, image).CombinedOutput(); err != nil {
			t.Fatalf("truncate: %v: %s", err, out)
		}
		out, err := exec.Command("mkfs.ext4", "-q", "-m", "0", image).CombinedOutput()
		if errors.Is(err, exec.ErrNotFound) {
			t.Skip("no mkfs.ext4")
		}
		if err != nil {
			t.Fatalf("mkfs.ext4: %v: %s", err, out)
		}
		args = []string{"-o", "loop", image, disk}
	}
	if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
		t.Skipf("mount: %v: %s", err, out) // a container may be root and not let it
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s.archive = filepath.Join(disk, "archive")
	return disk
}

// TestFullDisk archives onto a disk that is too small: the sync names the full disk,
// the archived messages verify, and with more space the next sync archives the
// others.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"ext4", "tmpfs"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			srv := dovecot.Start(t)
			u := srv.User(t, "alice")
			c := u.Dial(t)
			c.Load(dovecot.Corpus(11, 2500)) // some 20 MB
			s := newSite(t)
			disk := mountSmall(t, s, kind, "60M")
			s.configure("accounts:\n", s.overTLS(srv, u))
			filler, err := os.Create(filepath.Join(disk, "filler"))
			if err != nil {
				t.Fatal(err)
			}
			defer filler.Close()
			var fs syscall.Statfs_t
			if err := syscall.Statfs(disk, &fs); err != nil {
				t.Fatal(err)
			}
			free := int64(fs.Bavail) * fs.Bsize
			if err := syscall.Fallocate(int(filler.Fd()), 0, 0, free-(12<<20)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				r := s.run("sync").want(1)
				if all := r.out + r.err; !strings.Contains(all, "no space left on device") && !strings.Contains(all, "nearly full") {
					t.Errorf("on a full disk sync says\n%s", all)
				}
				s.run("verify").want(0)
			}
			if err := os.Remove(filler.Name()); err != nil {
				t.Fatal(err)
			}
			if err := filler.Close(); err != nil {
				t.Fatal(err)
			}
			run := s.sync()
			if run.Sum.Archived != 2500 {
				t.Errorf("%d messages are archived, want 2500", run.Sum.Archived)
			}
			compareWithServer(t, s, c, "alice", []string{"INBOX", "Lists/go"})
		})
	}
}
