//go:build !linux

package archive

import (
	"errors"
	"os"
	"time"
)

// syncfsWorks: elsewhere than on Linux each file has an fsync of its own.
func syncfsWorks(*os.File) bool { return false }

func syncfs(*os.File) error { return errors.ErrUnsupported }

func renameNoReplace(m *Mailbox, name string, _ *os.File, to string) error {
	return renameIfFree(m, name, to)
}

// create makes a file in tmp/.
func (m *Mailbox) create(name string) (*os.File, error) {
	return m.tmp.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, m.w.fileMode())
}

// openMonth is left to os.Root.
func openMonth(*os.File, string) (*os.File, error) { return nil, errors.ErrUnsupported }

// setTime sets the modification time of a file in tmp/.
func (m *Mailbox) setTime(name string, t time.Time) error { return m.tmp.Chtimes(name, t, t) }

// reserve: free space is only looked at on Linux.
func reserve(*os.File, int64) error { return nil }
