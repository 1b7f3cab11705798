//go:build !linux

package durable

import (
	"errors"
	"os"
)

// CanSyncFS returns false: only Linux has syncfs.
func CanSyncFS(*os.File) bool { return false }

// SyncFS returns errors.ErrUnsupported.
func SyncFS(*os.File) error { return errors.ErrUnsupported }
