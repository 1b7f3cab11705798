package archive

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

// No octets make Replay panic, or return an event that no seal covers.
func FuzzReplay(f *testing.F) {
	text, ends := commits(f)
	f.Add(text)
	f.Add(text[:ends[1].Offset+20])
	f.Add([]byte(`{"event":"sealed","seal":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}` + "\n"))
	f.Add([]byte("{\"event\":\"gone\",\"uids\":\"1:4294967295\"}\n\x00\n[]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		v := &View{}
		var lines [][]byte
		end, err := replay(bytes.NewReader(text), Position{}, func(e Event) error {
			v.Apply(e)
			var b bytes.Buffer
			lines = append(lines, nil)
			if e.encodeTo(&b) == nil {
				lines[len(lines)-1] = b.Bytes()
			}
			return nil
		})
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
		if end.Offset > int64(len(text)) {
			t.Fatalf("the position is %d of %d", end.Offset, len(text))
		}
		if end.Offset > 0 {
			seals := sealsBy(t, text[:end.Offset])
			if got := seals[len(seals)-1]; got != end.Seal {
				t.Fatalf("the position's seal is %s, want %s", end.Seal, got)
			}
			if got, want := len(lines), bytes.Count(text[:end.Offset], []byte("\n"))-len(seals); got != want {
				t.Fatalf("%d events of %d sealed lines", got, want)
			}
		} else if len(lines) > 0 {
			t.Fatalf("%d events without a seal", len(lines))
		}
		// the sealed part by itself reads the same
		n, again, err := count(text[:end.Offset], Position{})
		if err != nil || again != end || n != len(lines) {
			t.Fatalf("read again: %d events up to %v, %v", n, again, err)
		}
		for _, m := range v.All() {
			if !isLocalPath(m.Path) {
				t.Fatalf("a message's path is %q", m.Path)
			}
		}
	})
}

func FuzzDecodeEvent(f *testing.F) {
	text, _ := commits(f)
	for line := range bytes.Lines(text) {
		f.Add(bytes.TrimSuffix(line, []byte("\n")))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if e, ok := decodeAddedFast(line); ok {
			if want, err := decodeJSON(line); err != nil || !reflect.DeepEqual(e, want) {
				t.Fatalf("%s is read as %+v, and else as %+v, %v", line, e, want, err)
			}
		}
		e, err := decodeEvent(line)
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := e.encodeTo(&b); err != nil {
			if len(e.Kind) > 0 && map[Kind]bool{Opened: true, Added: true, Flags: true, Gone: true, Failed: true, Vanished: true}[e.Kind] && e.At.Year() < 10000 {
				t.Fatalf("%s was read and can't be written: %v", line, err)
			}
			return
		}
		again, err := decodeEvent(b.Bytes())
		if err != nil {
			t.Fatalf("%s was written and can't be read: %v", b.Bytes(), err)
		}
		var c bytes.Buffer
		if err := again.encodeTo(&c); err != nil || !bytes.Equal(c.Bytes(), b.Bytes()) {
			t.Fatalf("%s reads back as %s, %v", b.Bytes(), c.Bytes(), err)
		}
	})
}
