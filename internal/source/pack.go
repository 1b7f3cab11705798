package source

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"archiverd/archive"
)

// Limits of what is unpacked from a zip or tar.zst: more than any server accepts, and
// less than a decompression bomb needs.
const (
	maxMessage  = 1 << 30   // octets of a message
	maxJournals = 256 << 20 // octets of all journals together
	maxWindow   = 128 << 20 // octets of the window of zstd
	maxEntries  = 1_000_000 // of a pack, those that are passed over included
)

var (
	errTooLarge     = errors.New("it unpacks to more octets than a message or journal has: it is not imported; unpack it yourself if it is what it should be")
	errTooMany      = fmt.Errorf("it has over %d entries: unpack it, and import the directory in parts", maxEntries)
	errNoMailInside = errors.New("no .eml file in it")
	errLink         = errors.New("a link to what does not stand before it as an .eml file")
)

// entry is an .eml file in a zip or tar.zst.
type entry struct {
	name    string
	changed time.Time
	open    func() (io.Reader, error) // may be called again
}

// pack is a zip or tar.zst while its entries are read.
type pack struct {
	finder    *finder
	path      string
	isArchive bool // laid out as an archive: accounts above mailboxes
	entries   []entry
	journals  map[string]*archive.View // by directory
	octets    int64                    // of the journals
}

// addPack adds a zip or tar.zst, written by export or by any other program.
func (f *finder) addPack(ctx context.Context, path string, read func(*pack, context.Context) error) {
	p := &pack{finder: f, path: path, journals: map[string]*archive.View{}}
	if err := read(p, ctx); err != nil {
		f.addFailure(path, err)
	} else if len(p.entries)+len(p.journals) == 0 {
		f.addFailure(path, errNoMailInside)
	}
	p.addMailboxes()
}

// isWanted reports whether an entry is a message or a journal. Others are added to
// Skipped, as are names that lead out of the pack.
func (p *pack) isWanted(name string, regular bool) bool {
	switch {
	case !regular || !filepath.IsLocal(name) || path.Clean(name) != name || strings.ContainsAny(name, "\\\x00"):
		p.finder.found.Skipped = append(p.finder.found.Skipped, p.describe(name)+" (a link, or a name that leads elsewhere)")
	case name == "archive.json":
		p.isArchive = true
	case isJournal(name), strings.EqualFold(path.Ext(name), ".eml"):
		return true
	default:
		p.finder.found.Skipped = append(p.finder.found.Skipped, p.describe(name))
	}
	return false
}

func isJournal(name string) bool { return name == archive.MailboxDir{Dir: path.Dir(name)}.Journal() }

// describe names an entry, for people.
func (p *pack) describe(name string) string { return p.path + ": " + name }

// readJournal reads a journal. Of a damaged one it keeps what precedes the damage.
func (p *pack) readJournal(ctx context.Context, name string, r io.Reader) {
	left := &limitedReader{r: stoppableStream{ctx.Err, r}, remaining: maxJournals - p.octets}
	view, err := archive.FoldFrom(left)
	p.octets = maxJournals - max(0, left.remaining)
	if err != nil {
		p.finder.addFailure(p.describe(name), fmt.Errorf("flags and dates are missing where it is damaged: %w", err))
	}
	p.journals[path.Dir(name)] = view
}

// readZip reads the directory of a zip, and its journals.
func (p *pack) readZip(ctx context.Context) error {
	z, err := zip.OpenReader(p.path)
	if err != nil {
		return fmt.Errorf("it is damaged or cut off, and nothing of it was read: %w", withoutPath(err))
	}
	p.finder.found.closers = append(p.finder.found.closers, z)
	if len(z.File) > maxEntries {
		return errTooMany
	}
	for _, file := range z.File {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := strings.TrimPrefix(file.Name, "./")
		if strings.HasSuffix(name, "/") || !p.isWanted(name, file.Mode().IsRegular()) {
			continue
		}
		if !isJournal(name) {
			p.entries = append(p.entries, entry{name, file.Modified, func() (io.Reader, error) {
				r, err := file.Open()
				return &limitedReader{r: r, remaining: maxMessage}, err
			}})
			continue
		}
		r, err := file.Open()
		if err != nil {
			p.finder.addFailure(p.describe(name), err)
			continue
		}
		p.readJournal(ctx, name, r)
		if err := r.Close(); err != nil {
			return err
		}
	}
	return nil
}

// limitedReader returns errTooLarge once more than remaining octets were read.
type limitedReader struct {
	r         io.Reader
	remaining int64
}

// Read implements [io.Reader].
func (l *limitedReader) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	if l.remaining -= int64(n); l.remaining < 0 {
		return 0, errTooLarge
	}
	return n, err
}

// addMailboxes adds the entries to mailboxes. With one account in the pack these
// have the names of its mailboxes; with several they lie below the name of each
// account.
func (p *pack) addMailboxes() {
	accounts := map[string]bool{}
	dirs := map[string]bool{}
	of := func(name string) string { // the directory of its mailbox
		dir := path.Dir(name)
		if monthName.MatchString(path.Base(dir)) && archivedName.MatchString(path.Base(name)) {
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
		part := &packedMailbox{pack: p, dir: dir, entries: in[dir], records: map[string]fileRecord{}}
		view := p.journals[dir]
		if view != nil {
			gone += part.applyJournal(view)
		}
		p.finder.addContainer(p.levelsOf(dir, view, len(accounts) == 1), part)
	}
	if gone > 0 {
		p.finder.found.Notes = append(p.finder.found.Notes, fmt.Sprintf("%s: imported although its journals say that they are gone from their mailboxes: %s", p.path, english.Plural(gone, "message", "")))
	}
}

// levelsOf returns the levels of the mailbox in a directory, nil for the top.
func (p *pack) levelsOf(dir string, view *archive.View, one bool) []string {
	if dir == "." {
		return nil
	}
	names := strings.Split(dir, "/")
	if !p.isArchive {
		return fromArchiveNames(names)
	}
	account, levels := names[:1], fromArchiveNames(names[1:])
	if view != nil && !view.Name.Raw && view.Name.Delimiter != "" {
		if l := strings.Split(view.Name.Mailbox, view.Name.Delimiter); !slices.Contains(l, "") {
			levels = l
		}
	}
	if one {
		return levels
	}
	return slices.Concat(fromArchiveNames(account), levels)
}

// packedMailbox is a mailbox in a zip or tar.zst.
type packedMailbox struct {
	pack    *pack
	dir     string
	entries []entry
	records map[string]fileRecord // by relative path
}

// fileRecord is what a journal says about a file.
type fileRecord struct {
	messages []*archive.Message // several if it has several UIDs
	listed   bool               // at least one is in the mailbox now; else all are gone
}

// applyJournal attaches the events of the journal to the files. It returns how many
// files are of messages that are gone, and drops those of them whose message is
// also in the mailbox under another UID, as all are after a server has renumbered
// it.
func (p *packedMailbox) applyJournal(view *archive.View) (gone int) {
	for ep, m := range view.All() {
		here, have := view.Listed(ep, m), p.records[m.Path]
		switch {
		case here && have.listed:
			have.messages = append(have.messages, m)
		case here || !have.listed:
			have = fileRecord{[]*archive.Message{m}, here}
		}
		p.records[m.Path] = have
	}
	type twin struct {
		sum  archive.Sum
		date int64
	}
	has := map[twin]bool{}
	for _, e := range p.entries {
		if s := p.records[p.relativePath(e)]; s.listed {
			has[twin{s.messages[0].Sum, s.messages[0].InternalDate.Unix()}] = true
		}
	}
	p.entries = slices.DeleteFunc(p.entries, func(e entry) bool {
		s := p.records[p.relativePath(e)]
		if len(s.messages) == 0 || s.listed {
			return false
		}
		if has[twin{s.messages[0].Sum, s.messages[0].InternalDate.Unix()}] {
			return true
		}
		gone++
		return false
	})
	return gone
}

// relativePath returns the path of a file below the directory of the mailbox.
func (p *packedMailbox) relativePath(e entry) string { return strings.TrimPrefix(e.name, p.dir+"/") }

func (p *packedMailbox) count() (n int) {
	for _, e := range p.entries {
		n += max(1, len(p.records[p.relativePath(e)].messages))
	}
	return n
}

func (p *packedMailbox) messages(ctx context.Context, o Options) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		for _, e := range p.entries {
			open := e.open
			e.open = func() (io.Reader, error) {
				r, err := open()
				return stoppableStream{ctx.Err, r}, err
			}
			for _, m := range p.messagesOf(e) {
				if m.Date.IsZero() && !m.HasFlags {
					head, err := readUpTo(e.open, MaxHeader)
					if err != nil {
						if !yield(nil, &Failure{m.Path, withoutPath(err)}) {
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

// messagesOf returns the messages of a file: one without flags if the journal has
// none.
func (p *packedMailbox) messagesOf(e entry) (out []*Message) {
	for _, m := range p.records[p.relativePath(e)].messages {
		flags := slices.Clone(m.Flags)
		slices.Sort(flags)
		out = append(out, &Message{Path: p.pack.describe(e.name), Date: m.InternalDate, Flags: flags, HasFlags: true, octets: e.open})
	}
	if out == nil {
		out = append(out, &Message{Path: p.pack.describe(e.name), octets: e.open})
	}
	return out
}

// readUpTo reads the first n octets of a message.
func readUpTo(open func() (io.Reader, error), n int64) ([]byte, error) {
	r, err := open()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, n))
}
