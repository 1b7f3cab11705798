package dovecot

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// File is a real message as a file has it: with any line ends, and maybe empty.
type File struct {
	Name string // path below the directory, of the .eml or .mbox file
	Data []byte
}

// Mail returns all messages below the directory that ARCHIVERD_TEST_MAIL names,
// always in the same order: each .eml file is one, an .mbox file has those between
// its "From " lines. It returns nil if the variable is not set.
func Mail(t testing.TB) []File {
	t.Helper()
	dir := os.Getenv("ARCHIVERD_TEST_MAIL")
	if dir == "" {
		return nil
	}
	var files []File
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		kind := filepath.Ext(path)
		if err != nil || d.IsDir() || kind != ".eml" && kind != ".mbox" {
			return err
		}
		data, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		messages := [][]byte{data}
		if kind == ".mbox" {
			messages = splitMbox(data)
		}
		for _, m := range messages {
			files = append(files, File{path, m})
		}
		return nil
	})
	if err != nil {
		t.Fatalf("read ARCHIVERD_TEST_MAIL: %v", err)
	}
	if len(files) == 0 {
		t.Fatalf("ARCHIVERD_TEST_MAIL=%s has no .eml and no .mbox file", dir)
	}
	return files
}

// splitMbox splits at each line that begins with "From ", and drops those lines.
func splitMbox(data []byte) [][]byte {
	var messages [][]byte
	for line := range bytes.Lines(data) {
		if bytes.HasPrefix(line, []byte("From ")) || len(messages) == 0 {
			messages = append(messages, nil)
		}
		if !bytes.HasPrefix(line, []byte("From ")) {
			last := &messages[len(messages)-1]
			*last = append(*last, line...)
		}
	}
	return messages
}
