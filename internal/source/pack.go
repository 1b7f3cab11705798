package source

import (
	"archive/tar"
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"archiverd/archive"
)

// What is taken of a zip or tar.zst: more than any server takes, and less than what
// a hostile one unpacks to.
const (
	mostMessage = 1 << 30   // octets of a message
	mostJournal = 256 << 20 // octets of a journal
	mostWindow  = 128 << 20 // octets of zstd's window
)

var (
	errMuch     = errors.New("it unpacks to more octets than a message or journal has: it is not imported; unpack it yourself if it is what it should be")
	errUnpacked = errors.New("no .eml file in it")
	errLink     = errors.New("a link to what does not stand before it as an .eml file")
)

// entry is an .eml file in a zip or tar.zst.
type entry struct {
	name    string
	changed time.Time
	open    func() (io.Reader, error) // as often as one likes
}

// pack is a zip or tar.zst that is being looked through.
type pack struct {
	f        *finder
	path     string
	whole    bool // it is laid out as an archive, accounts above mailboxes
	entries  []entry
	journals map[string]*archive.View // by directory
}

// pack takes a zip or tar.zst: what export writes, or any other with .eml files in it.
func (f *finder) pack(path string, read func(*pack) error) {
	p := &pack{f: f, path: path, journals: map[string]*archive.View{}}
	if err := read(p); err != nil {
		f.fail(path, err)
	} else if len(p.entries)+len(p.journals) == 0 {
		f.fail(path, errUnpacked)
	}
	p.place()
}

// wants says whether a file in it is wanted. One whose name leads anywhere else, or
// that is no mail, is passed over.
func (p *pack) wants(name string, regular bool) bool {
	switch {
	case !regular || !filepath.IsLocal(name) || path.Clean(name) != name || strings.ContainsAny(name, "\\\x00"):
		p.f.found.Passed = append(p.f.found.Passed, p.at(name)+" (a link, or a name that leads elsewhere)")
	case name == "archive.json":
		p.whole = true
	case isJournal(name), strings.EqualFold(path.Ext(name), ".eml"):
		return true
	default:
		p.f.found.Passed = append(p.f.found.Passed, p.at(name))
	}
	return false
}

func isJournal(name string) bool { return name == archive.MailboxDir{Dir: path.Dir(name)}.Journal() }

// at names a file in it, for people.
func (p *pack) at(name string) string { return p.path + ": " + name }

// journal reads a journal. One that is damaged tells what stands before the damage.
func (p *pack) journal(name string, r io.Reader) {
	view, err := archive.FoldFrom(&limited{r: r, left: mostJournal})
	if err != nil {
		p.f.fail(p.at(name), fmt.Errorf("flags and dates are missing where it is damaged: %w", err))
	}
	p.journals[path.Dir(name)] = view
}

// zip reads the directory of a zip, and its journals.
func (p *pack) zip() error {
	z, err := zip.OpenReader(p.path)
	if err != nil {
		return fmt.Errorf("it is damaged or cut off, and nothing of it was read: %w", bare(err))
	}
	p.f.found.open = append(p.f.found.open, z)
	for _, file := range z.File {
		if err := p.f.ctx.Err(); err != nil {
			return err
		}
		name := strings.TrimPrefix(file.Name, "./")
		if strings.HasSuffix(name, "/") || !p.wants(name, file.Mode().IsRegular()) {
			continue
		}
		if !isJournal(name) {
			p.entries = append(p.entries, entry{name, file.Modified, func() (io.Reader, error) {
				r, err := file.Open()
				return &limited{r: r, left: mostMessage}, err
			}})
			continue
		}
		r, err := file.Open()
		if err != nil {
			p.f.fail(p.at(name), err)
			continue
		}
		p.journal(name, r)
		if err := r.Close(); err != nil {
			return err
		}
	}
	return nil
}

// tar unpacks the messages of a tar.zst to a temporary file without a name: a
// message is read more than once, and a tar can be read only forwards.
func (p *pack) tar() error {
	file, _, err := openFile(p.path)
	if err != nil {
		return err
	}
	defer file.Close()
	z, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(mostWindow))
	if err != nil {
		return err
	}
	defer z.Close()
	spool, err := os.CreateTemp("", "archiverd-import-")
	if err != nil {
		return err
	}
	p.f.found.open = append(p.f.found.open, spool)
	if err := os.Remove(spool.Name()); err != nil {
		return err
	}
	spooled := map[string]func() (io.Reader, error){}
	var end int64
	for t := tar.NewReader(z); ; {
		if err := p.f.ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("it is damaged or cut off; what stands before that is taken: %w", err)
		}
		h.Name, h.Linkname = strings.TrimPrefix(h.Name, "./"), strings.TrimPrefix(h.Linkname, "./")
		link := h.Typeflag == tar.TypeLink
		if h.Typeflag == tar.TypeDir || !p.wants(h.Name, link || h.Typeflag == tar.TypeReg) {
			continue
		}
		journal := isJournal(h.Name)
		switch open := spooled[h.Linkname]; {
		case link && (open == nil || journal):
			p.f.fail(p.at(h.Name), errLink)
		case link:
			spooled[h.Name] = open
			p.entries = append(p.entries, entry{h.Name, h.ModTime, open})
		case h.Size > mostMessage || journal && h.Size > mostJournal:
			p.f.fail(p.at(h.Name), errMuch)
		case journal:
			p.journal(h.Name, t)
		default:
			from := end
			n, err := io.Copy(spool, t)
			if full := (*fs.PathError)(nil); errors.As(err, &full) && full.Path == spool.Name() {
				return fmt.Errorf("unpack %s in %s: %w; let TMPDIR name a folder with more room", h.Name, os.TempDir(), full.Err)
			}
			if end += n; err != nil {
				return fmt.Errorf("it is damaged or cut off in %s; what stands before that is taken: %w", h.Name, err)
			}
			open := func() (io.Reader, error) { return io.NewSectionReader(spool, from, n), nil }
			spooled[h.Name] = open
			p.entries = append(p.entries, entry{h.Name, h.ModTime, open})
		}
	}
}

// limited reads what may not be more than left octets.
type limited struct {
	r    io.Reader
	left int64
}

// Read implements [io.Reader].
func (l *limited) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	if l.left -= int64(n); l.left < 0 {
		return 0, errMuch
	}
	return n, err
}

// place gives what was found to mailboxes: of an archive with one account to those
// of the account, of one with several to mailboxes below each account's name.
func (p *pack) place() {
	accounts := map[string]bool{}
	dirs := map[string]bool{}
	of := func(name string) string { // its mailbox's directory
		dir := path.Dir(name)
		if month.MatchString(path.Base(dir)) && archivedName.MatchString(path.Base(name)) {
			dir = path.Dir(dir)
		}
		return dir
	}
	note := func(dir string) {
		dirs[dir] = true
		account, _, _ := strings.Cut(dir, "/")
		accounts[account] = true
	}
	for dir := range p.journals {
		note(dir)
	}
	in := map[string][]entry{}
	for _, e := range p.entries {
		dir := of(e.name)
		note(dir)
		in[dir] = append(in[dir], e)
	}
	gone := 0
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		part := &packed{p: p, dir: dir, entries: in[dir], told: map[string]story{}}
		view := p.journals[dir]
		if view != nil {
			gone += part.tell(view)
		}
		p.f.add(p.levels(dir, view, len(accounts) == 1), part)
	}
	if gone > 0 {
		p.f.found.Notes = append(p.f.found.Notes, fmt.Sprintf("%s: %d of its messages are gone from their mailboxes by its journals, and come in all the same", p.path, gone))
	}
}

// levels are those of the mailbox in a directory; nil: that of the top.
func (p *pack) levels(dir string, view *archive.View, one bool) []string {
	if dir == "." {
		return nil
	}
	names := strings.Split(dir, "/")
	if !p.whole {
		return parted(names)
	}
	account, levels := names[:1], parted(names[1:])
	if view != nil && !view.Name.Raw && view.Name.Delimiter != "" {
		if l := strings.Split(view.Name.Mailbox, view.Name.Delimiter); !slices.Contains(l, "") {
			levels = l
		}
	}
	if one {
		return levels
	}
	return slices.Concat(parted(account), levels)
}

// packed is a mailbox in a zip or tar.zst.
type packed struct {
	p       *pack
	dir     string
	entries []entry
	told    map[string]story // by file
}

// story is what a journal tells of a file.
type story struct {
	as   []*archive.Message // it may be there under several UIDs
	here bool               // or else it is gone
}

// tell takes what the journal tells of each file, and returns how many of them
// are of messages that are gone. Of those the ones go that are there again, as all
// are when a server has renumbered its mailbox.
func (p *packed) tell(view *archive.View) (gone int) {
	for ep, m := range view.All() {
		here, have := view.Listed(ep, m), p.told[m.Path]
		switch {
		case here && have.here:
			have.as = append(have.as, m)
		case here || !have.here:
			have = story{[]*archive.Message{m}, here}
		}
		p.told[m.Path] = have
	}
	type twin struct {
		sum  archive.Sum
		date int64
	}
	has := map[twin]bool{}
	for _, e := range p.entries {
		if s := p.told[p.file(e)]; s.here {
			has[twin{s.as[0].Sum, s.as[0].InternalDate.Unix()}] = true
		}
	}
	p.entries = slices.DeleteFunc(p.entries, func(e entry) bool {
		s := p.told[p.file(e)]
		if len(s.as) == 0 || s.here {
			return false
		}
		if has[twin{s.as[0].Sum, s.as[0].InternalDate.Unix()}] {
			return true
		}
		gone++
		return false
	})
	return gone
}

// file is a file's path in the mailbox's directory.
func (p *packed) file(e entry) string { return strings.TrimPrefix(e.name, p.dir+"/") }

func (p *packed) known() (n int) {
	for _, e := range p.entries {
		n += max(1, len(p.told[p.file(e)].as))
	}
	return n
}

func (p *packed) messages(o Options) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		for _, e := range p.entries {
			for _, m := range p.of(e) {
				if m.Date.IsZero() && !m.Known {
					head, err := readUpTo(e.open, HeadOctets)
					if err != nil {
						if !yield(nil, &Failure{m.Path, bare(err)}) {
							return
						}
						continue
					}
					m.Date = Date(path.Base(e.name), head, e.changed, o.Now)
				}
				if !yield(m, nil) {
					return
				}
			}
		}
	}
}

// of are the messages of a file, one where the journal has none.
func (p *packed) of(e entry) (out []*Message) {
	for _, m := range p.told[p.file(e)].as {
		flags := slices.Clone(m.Flags)
		slices.Sort(flags)
		out = append(out, &Message{Path: p.p.at(e.name), Date: m.InternalDate, Flags: flags, Known: true, octets: e.open})
	}
	if out == nil {
		out = append(out, &Message{Path: p.p.at(e.name), octets: e.open})
	}
	return out
}

// readUpTo reads the beginning of a message.
func readUpTo(open func() (io.Reader, error), n int64) ([]byte, error) {
	r, err := open()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, n))
}
