package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// counted reads a zip with Python's zipfile module: all of its files.
const counted = `
import json, sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None
names = z.namelist()
json.dump([len(names), len(set(names)), names[-1], z.read(names[-1]).decode()], sys.stdout)
`

// TestZipOfManyFiles writes more files than a zip of the first kind can have, 65,535:
// another program reads every one.
func TestZipOfManyFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 66,000 files")
	}
	python, err := exec.LookPath("python3")
	if err != nil && os.Getenv("ARCHIVERD_REQUIRE_DOVECOT") == "1" {
		t.Fatal("no python3; on Debian and Ubuntu: apt-get install python3")
	}
	if err != nil {
		t.Skip("no python3")
	}
	const files = 66000
	name := filepath.Join(t.TempDir(), "many.zip")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := (&Export{Format: Zip}).newPackFormat(f)
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		text := fmt.Sprint(i)
		err := p.file("a/INBOX/"+text+".eml", int64(len(text)), time.Unix(int64(1e9+i), 0), func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(p.close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "-c", counted, name).Output()
	if err != nil {
		t.Fatalf("python: %v", err)
	}
	var got []any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprint([]any{files, files, "a/INBOX/65999.eml", "65999"}); fmt.Sprint(got) != want {
		t.Errorf("Python reads %v, want %s", got, want)
	}
}
