package source

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"archiverd/internal/maildir"
	"archiverd/internal/mbox"
)

// emlFiles are files with one message each.
type emlFiles struct{ paths []string }

func (p *emlFiles) count() int { return len(p.paths) }

func (p *emlFiles) messages(ctx context.Context, o Options) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		for _, path := range p.paths {
			more := withFile(path, yield, func(f *os.File, info os.FileInfo) (*Message, error) {
				octets := stoppable{ctx.Err, f}
				head, err := io.ReadAll(io.NewSectionReader(octets, 0, MaxHeader))
				if err != nil {
					return nil, err
				}
				return &Message{Path: path, Date: Date(filepath.Base(path), head, info.ModTime(), o.Now),
					octets: func() (io.Reader, error) { return io.NewSectionReader(octets, 0, info.Size()), nil }}, nil
			})
			if !more {
				return
			}
		}
	}
}

// mboxFile is an mbox file.
type mboxFile struct{ path string }

func (p mboxFile) count() int { return 0 }

func (p mboxFile) messages(ctx context.Context, o Options) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		f, info, err := openFile(p.path)
		if err != nil {
			yield(nil, &Failure{p.path, withoutPath(err)})
			return
		}
		defer f.Close()
		for in, err := range mbox.Scan(stoppable{ctx.Err, f}, info.Size(), mbox.Options{Variant: o.Variant, KeepLineEnds: o.KeepLineEnds}) {
			if err != nil {
				yield(nil, &Failure{p.path, withoutPath(err)})
				return
			}
			m := &Message{Path: fmt.Sprintf("%s, message at octet %d", p.path, in.Offset), Date: in.Date, Flags: in.Flags, HasFlags: in.HasFlags, octets: in.Octets}
			if m.Date.IsZero() {
				if m.Date, err = dateFromHeader(m, o); err != nil {
					yield(nil, &Failure{m.Path, withoutPath(err)})
					return
				}
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}

// dateFromHeader returns the date in the header of a message.
func dateFromHeader(m *Message, o Options) (date time.Time, err error) {
	r, err := m.Octets()
	if err != nil {
		return date, err
	}
	head, err := io.ReadAll(io.LimitReader(r, MaxHeader))
	return parseHeaderDate(head, o.Now), err
}

// maildirDir is a Maildir.
type maildirDir struct {
	path     string
	names    []string // of messages: cur/… or new/…
	keywords maildir.Keywords

	skipped map[string]fs.DirEntry // entries that are not regular files, by path
}

func (p *maildirDir) count() int { return len(p.names) }

// listMaildir lists a Maildir. With an error it returns what it could read.
func listMaildir(path string) (*maildirDir, error) {
	p := &maildirDir{path: path, skipped: map[string]fs.DirEntry{}}
	var errs []error
	// Read new before cur: messages move that way, and one that does must not be missed.
	at := map[string]int{}
	for _, dir := range []string{"new", "cur"} {
		list, err := os.ReadDir(filepath.Join(path, dir))
		if err != nil && !(dir == "new" && errors.Is(err, fs.ErrNotExist)) {
			errs = append(errs, err)
		}
		for _, d := range list {
			base, _ := maildir.Split(d.Name())
			switch i, twice := at[base]; {
			case d.IsDir() || strings.HasPrefix(d.Name(), "."):
			case !d.Type().IsRegular():
				p.skipped[filepath.Join(path, dir, d.Name())] = d
			case twice:
				p.names[i] = dir + "/" + d.Name()
			default:
				at[base] = len(p.names)
				p.names = append(p.names, dir+"/"+d.Name())
			}
		}
	}
	slices.SortFunc(p.names, compareArrival)
	f, _, err := openFile(filepath.Join(path, maildir.KeywordsName))
	if errors.Is(err, fs.ErrNotExist) {
		return p, errors.Join(errs...)
	}
	if err == nil {
		p.keywords, err = maildir.ReadKeywords(f)
		err = errors.Join(err, f.Close())
	}
	return p, errors.Join(append(errs, err)...)
}

// compareArrival orders the names of messages by the seconds at their beginning.
func compareArrival(a, b string) int {
	a, b = a[len("cur/"):], b[len("cur/"):]
	seconds := func(name string) int {
		digits, _, _ := strings.Cut(name, ".")
		n, err := strconv.Atoi(digits)
		if err != nil {
			return -1
		}
		return n
	}
	return cmp.Or(cmp.Compare(seconds(a), seconds(b)), strings.Compare(a, b))
}

func (p *maildirDir) messages(ctx context.Context, o Options) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		for _, name := range p.names {
			path := p.currentPath(name)
			more := withFile(path, yield, func(f *os.File, info os.FileInfo) (*Message, error) {
				_, letters := maildir.Split(filepath.Base(path))
				m := &Message{Path: path, Date: toInternalDate(info.ModTime()), Flags: p.keywords.Flags(letters), HasFlags: true}
				octets := stoppable{ctx.Err, f}
				unix, err := hasNoCRLF(octets, info.Size())
				if err != nil {
					return nil, err
				}
				m.octets = func() (io.Reader, error) {
					whole := io.NewSectionReader(octets, 0, info.Size())
					if unix && !o.KeepLineEnds {
						return &crlfReader{r: whole}, nil
					}
					return whole, nil
				}
				return m, nil
			})
			if !more {
				return
			}
		}
	}
}

// currentPath returns the path of a message. Since the Maildir was listed, the file
// may have been renamed: by other flags, or by the move from new to cur.
func (p *maildirDir) currentPath(name string) string {
	path := filepath.Join(p.path, name)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return path
	}
	if now, err := listMaildir(p.path); err == nil {
		base, _ := maildir.Split(name[len("cur/"):])
		for _, n := range now.names {
			if b, _ := maildir.Split(n[len("cur/"):]); b == base {
				return filepath.Join(p.path, n)
			}
		}
	}
	return path
}

// hasNoCRLF reports whether no line of a file ends in CRLF. The error is
// errCompressed for a file that the server has compressed.
func hasNoCRLF(f io.ReaderAt, size int64) (bool, error) {
	r, buf := io.NewSectionReader(f, 0, size), make([]byte, 64<<10)
	for first, cr := true, false; ; first = false {
		n, err := r.Read(buf)
		text := buf[:n]
		if first && isCompressed(text) {
			return false, errCompressed
		}
		if cr && n > 0 && text[0] == '\n' || bytes.Contains(text, []byte("\r\n")) {
			return false, nil
		}
		if n > 0 {
			cr = text[n-1] == '\r'
		}
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// crlfReader reads a text with CRLF for each LF.
type crlfReader struct {
	r   io.Reader
	buf [4 << 10]byte
	out []byte
}

// Read implements [io.Reader].
func (c *crlfReader) Read(p []byte) (int, error) {
	for len(c.out) == 0 {
		n, err := c.r.Read(c.buf[:])
		if n == 0 && err != nil {
			return 0, err
		}
		c.out = bytes.ReplaceAll(c.buf[:n], []byte("\n"), []byte("\r\n"))
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}
