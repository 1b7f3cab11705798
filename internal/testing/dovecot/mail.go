package dovecot

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// File is a real message, as it lies on disk: with any line ends, perhaps empty.
type File struct {
	Name string // path below the folder; for a message of an mbox file that of the file
	Data []byte
}

// Mail returns all messages below the folder that ARCHIVERD_TEST_MAIL names, in
// a stable order: each .eml file is one, each .mbox file those between its
// "From " lines. It returns nil where the variable is not set.
func Mail(t testing.TB) []File {
	t.Helper()
	folder := os.Getenv("ARCHIVERD_TEST_MAIL")
	if folder == "" {
		return nil
	}
	var files []File
	root := os.DirFS(folder)
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
		t.Fatalf("ARCHIVERD_TEST_MAIL=%s holds no .eml and no .mbox file", folder)
	}
	return files
}

// splitMbox cuts at each line that begins with "From ", and drops those lines.
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
