package durable

import (
	"errors"
	"math"
	"os"
	"runtime"
	"testing"
)

func TestSyncFS(t *testing.T) {
	dir := open(t, t.TempDir())
	if !CanSyncFS(dir) {
		t.Skip("syncfs does not serve here")
	}
	write(t, dir.Name()+"/file", "one")
	if err := SyncFS(dir); err != nil {
		t.Error(err)
	}
}

// procfs is no file system on which syncfs was measured.
func TestCannotSyncFS(t *testing.T) {
	f, err := os.Open("/proc/self")
	if err != nil {
		t.Skip("no procfs")
	}
	defer f.Close()
	if CanSyncFS(f) {
		t.Error("syncfs is trusted on procfs")
	}
}

func TestCheckFreeSpace(t *testing.T) {
	dir := open(t, t.TempDir())
	want := ErrNoSpace
	if runtime.GOOS != "linux" {
		want = nil
	}
	if err := CheckFreeSpace(dir, math.MaxInt64); !errors.Is(err, want) {
		t.Errorf("8 EiB: %v, want %v", err, want)
	}
	if err := CheckFreeSpace(dir, 0); err != nil && !errors.Is(err, ErrNoSpace) {
		t.Error(err)
	}
}
