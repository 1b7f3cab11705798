package source

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// zipOf is a zip with these files, a name and a text in turn.
func zipOf(t *testing.T, files ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		h := &zip.FileHeader{Name: files[i], Method: zip.Deflate}
		if strings.HasPrefix(files[i], "link") {
			h.SetMode(os.ModeSymlink | 0o777)
		}
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = io.WriteString(w, files[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// tarOf is a tar.zst with these headers; each file has its own name as its octets.
// One that says it is larger ends the tar.
func tarOf(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg && h.Size == 0 {
			h.Size = int64(len(h.Name))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size == int64(len(h.Name)) {
			if _, err := io.WriteString(w, h.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = w.Flush() // an error where the last lacks octets, as it should
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type packTest struct {
	octets []byte
	want   []string
	passed int
	failed []string // what each says, in order
}

// packTests are zips and tars, whoever made them, by their names.
func packTests(t *testing.T) map[string]packTest {
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600} }
	link := func(kind byte, name, to string) tar.Header {
		return tar.Header{Typeflag: kind, Name: name, Linkname: to}
	}
	return map[string]packTest{
		"some.zip": {
			octets: zipOf(t, "a.eml", "a\n", "Lists/go/b.EML", "b", "notes.txt", "x"),
			want:   []string{"INBOX", `INBOX "a\n" [] false`, "Lists|go", `Lists|go "b" [] false`}, passed: 1,
		},
		"two accounts.zip": {
			octets: zipOf(t, "archive.json", "{}", "x/INBOX/2026-11/20261122T183000Z.1.1.eml", "a", "y%2Fz/INBOX/b.eml", "b"),
			want:   []string{"x|INBOX", `x|INBOX "a" [] false`, "y/z|INBOX", `y/z|INBOX "b" [] false`},
		},
		"hostile.zip": {
			octets: zipOf(t, "/etc/a.eml", "no", "../b.eml", "no", "x/../../c.eml", "no", `..\d.eml`, "no", "link.eml", "/etc/passwd", "INBOX/good.eml", "yes"),
			want:   []string{"INBOX", `INBOX "yes" [] false`}, passed: 5,
		},
		"journal.zip": {
			octets: zipOf(t, "archive.json", "{}", "x/INBOX/journal.jsonl", "{}\n{\"event\":\"sealed\",\"seal\":\"0\"}\n{\"event\":\"sealed\",\"seal\":\"0\"}\n", "x/INBOX/a.eml", "a"),
			want:   []string{"INBOX", `INBOX "a" [] false`}, failed: []string{"x/INBOX/journal.jsonl: flags and dates are missing"},
		},
		"nothing.zip": {octets: zipOf(t, "a.txt", "x"), passed: 1, failed: []string{"no .eml file in it"}},
		"cut.zip":     {octets: zipOf(t, "a.eml", "a")[:40], failed: []string{"cut off, and nothing of it was read"}},
		"links.tar.zst": {
			octets: tarOf(t, file("./INBOX/a.eml"), link(tar.TypeLink, "Sent/b.eml", "INBOX/a.eml"), link(tar.TypeLink, "c.eml", "/etc/passwd"),
				link(tar.TypeSymlink, "d.eml", "/etc/passwd"), link(tar.TypeLink, "f.eml", "later.eml"), file("/abs.eml"), file("../up.eml"),
				tar.Header{Typeflag: tar.TypeFifo, Name: "fifo.eml"}, file("later.eml")),
			want:   []string{"INBOX", `INBOX "later.eml" [] false`, `INBOX "./INBOX/a.eml" [] false`, "Sent", `Sent "./INBOX/a.eml" [] false`},
			passed: 4, failed: []string{"c.eml: a link to what", "f.eml: a link to what"},
		},
		"large.tar.zst": {
			octets: tarOf(t, file("a.eml"), tar.Header{Typeflag: tar.TypeReg, Name: "Sent/huge.eml", Size: 10 << 30}),
			want:   []string{"INBOX", `INBOX "a.eml" [] false`}, failed: []string{"Sent/huge.eml: it unpacks to more", "cut off; what stands before"},
		},
		"cut.tar.zst": {
			octets: tarOf(t, file("a.eml"), tar.Header{Typeflag: tar.TypeReg, Name: "b.eml", Size: 1 << 20}),
			want:   []string{"INBOX", `INBOX "a.eml" [] false`}, failed: []string{"cut off in b.eml; what stands before"},
		},
		"no.tar.zst": {octets: []byte("\x28\xb5\x2f\xfdxyz"), failed: []string{"damaged or cut off"}},
		"a.mbox.zst": {octets: tarOf(t, file("a.eml")), failed: []string{"compressed"}},
	}
}

// TestPack takes the messages of zips and tars, and nothing else.
func TestPack(t *testing.T) {
	for name, c := range packTests(t) {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			dir := t.TempDir()
			path := filepath.Join(dir, name)
			write(t, dir, map[string]string{name: string(c.octets)})
			found, err := Find(context.Background(), []string{path}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := told(t, found); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
			if len(found.Skipped) != c.passed || len(found.Failed) != len(c.failed) {
				t.Fatalf("passed %q, failed %v", found.Skipped, found.Failed)
			}
			for i, f := range found.Failed {
				if !strings.HasPrefix(f.Path, path) || !strings.Contains(f.Error(), c.failed[i]) {
					t.Errorf("it says %q, want %q", f.Error(), c.failed[i])
				}
			}
			if err := found.Close(); err != nil {
				t.Error(err)
			}
			if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
				t.Errorf("%v is left, %v", left, err)
			}
		})
	}
}

// TestPackBomb reads a message of a zip that unpacks to more than any message has,
// whatever its header says.
func TestPackBomb(t *testing.T) {
	l := &limitedReader{r: zeros{}, remaining: 1 << 20}
	n, err := io.Copy(io.Discard, l)
	if err != errTooLarge || n > 1<<20 {
		t.Errorf("%d octets are read, %v", n, err)
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
