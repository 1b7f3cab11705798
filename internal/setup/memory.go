package setup

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"archiverd/internal/config"
	"archiverd/internal/durable"
)

// memory is the content of a memory file: which archive was at a path. It lies outside
// the archive, so that a vanished disk does not take it along: where one was, no new one
// is begun in the empty mount point.
type memory struct {
	Path string `json:"path"`
	ID   string `json:"id"`
}

// maxMemory is the most octets of a memory file that are read.
const maxMemory = 64 << 10

// memoryFile returns the file that remembers the archive at the configuration's path; ""
// if nothing does.
func memoryFile(cfg *config.Config) string {
	if cfg.Archive.Memory == "" {
		return ""
	}
	return filepath.Join(cfg.Archive.Memory, fmt.Sprintf("%x", sha256.Sum256([]byte(cfg.Archive.Path)))[:16]+".json")
}

// recall returns the id of the archive that was at the configuration's path; "" if none
// is remembered. A file that can't be read remembers nothing.
func recall(cfg *config.Config) string {
	name := memoryFile(cfg)
	if name == "" {
		return ""
	}
	f, err := durable.OpenRegular(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxMemory))
	var m memory
	if err != nil || json.Unmarshal(text, &m) != nil || m.Path != cfg.Archive.Path {
		return ""
	}
	return m.ID
}

// remember stores that the archive with that id is at the configuration's path. Without
// a directory for it, or where it is stored already, it does nothing.
func remember(cfg *config.Config, id string) (err error) {
	name := memoryFile(cfg)
	if name == "" || recall(cfg) == id {
		return nil
	}
	if err := os.MkdirAll(cfg.Archive.Memory, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(cfg.Archive.Memory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	text, err := json.Marshal(memory{cfg.Archive.Path, id})
	if err != nil {
		return err
	}
	base := filepath.Base(name)
	return durable.Replace(root, base, "."+base+".new", 0o600, func(f *os.File) error {
		_, err := f.Write(append(text, '\n'))
		return err
	})
}
