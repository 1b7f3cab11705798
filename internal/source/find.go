package source

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"archiverd/internal/maildir"
	"archiverd/internal/mbox"
	"archiverd/internal/pattern"
)

var (
	errNoFile     = errors.New("it is neither a file nor a folder")
	errNoMail     = errors.New("it is no .eml file, no mbox and no folder")
	errNoMbox     = errors.New("it is called .mbox, but does not begin with a From_ line as an mbox does")
	errCompressed = errors.New("it is compressed: unpack it, and import what comes out")
)

// Find looks for mail in files and folders. What is named and holds none is in
// Failed; the error is that of ctx alone. The caller closes what it returns.
func Find(ctx context.Context, args []string, o Options) (*Found, error) {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	f := &finder{ctx: ctx, o: o, boxes: map[string]*Mailbox{}, seen: map[string]bool{}}
	for _, arg := range args {
		f.source(arg)
	}
	for _, b := range f.boxes {
		f.found.Mailboxes = append(f.found.Mailboxes, b)
	}
	slices.SortFunc(f.found.Mailboxes, compareLevels)
	return &f.found, ctx.Err()
}

type finder struct {
	ctx   context.Context // of the one call of Find
	o     Options
	found Found
	boxes map[string]*Mailbox
	seen  map[string]bool // paths: what is named twice is taken once
}

// source takes what is named.
func (f *finder) source(arg string) {
	path, err := filepath.Abs(arg)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	var info os.FileInfo
	if err == nil {
		info, err = os.Stat(path)
	}
	switch {
	case err != nil:
		f.fail(arg, err)
	case info.IsDir():
		f.dir(path, nil)
	case !info.Mode().IsRegular():
		f.fail(arg, errNoFile)
	default:
		f.file(path, filepath.Base(arg), nil, true)
	}
}

func (f *finder) fail(path string, err error) {
	f.found.Failed = append(f.found.Failed, Failure{path, bare(err)})
}

// box is the mailbox of that name. Levels nil: that of the top of the source.
func (f *finder) box(levels []string) *Mailbox {
	if len(levels) == 0 {
		levels = f.o.Mailbox
	}
	if len(levels) == 0 {
		levels = []string{pattern.Inbox}
	}
	levels = slices.Concat(f.o.Into, levels)
	levels[0] = pattern.FoldInbox(levels[0])
	key := strings.Join(levels, "\x00")
	b := f.boxes[key]
	if b == nil {
		b = &Mailbox{Levels: levels, o: f.o}
		f.boxes[key] = b
	}
	return b
}

// add gives a mailbox a further place.
func (f *finder) add(levels []string, p part) {
	b := f.box(levels)
	b.parts = append(b.parts, p)
}

// dir takes a folder; dirs are the names of those that it lies in, below the
// source, and its own.
func (f *finder) dir(path string, dirs []string) {
	if f.seen[path] || f.ctx.Err() != nil {
		return
	}
	f.seen[path] = true
	list, err := os.ReadDir(path)
	if err != nil { // what could be read is taken
		f.fail(path, err)
	}
	is := isMaildir(list)
	if is {
		p, err := listMaildir(path)
		if err != nil {
			f.fail(path, err)
		}
		f.found.Passed = append(f.found.Passed, p.passed...)
		f.add(decoded(dirs), p)
	}
	for _, d := range list {
		name := d.Name()
		below := filepath.Join(path, name)
		switch {
		case is && (slices.Contains(maildir.Folders(), name) || ownOfMaildir(name)):
		case d.IsDir() && strings.HasPrefix(name, ".") && !holdsMaildir(below): // what a program keeps for itself
		case d.IsDir():
			f.dir(below, append(slices.Clone(dirs), strings.TrimSuffix(name, ".sbd"))) // Thunderbird's, beside the mbox of that name
		case !d.Type().IsRegular():
			f.found.Passed = append(f.found.Passed, passed(below, d))
		default:
			f.file(below, name, dirs, false)
		}
	}
}

// passed names what is passed over, for it is no file.
func passed(path string, d fs.DirEntry) string {
	if d.Type()&fs.ModeSymlink != 0 {
		return path + " (a link: name what it points to)"
	}
	return path
}

// isMaildir says whether a folder with these entries is a Maildir. Thunderbird's
// have no new.
func isMaildir(list []fs.DirEntry) bool {
	has := func(name string) bool {
		return slices.ContainsFunc(list, func(d fs.DirEntry) bool { return d.Name() == name && d.IsDir() })
	}
	return has("cur") && (has("new") || has("tmp"))
}

func holdsMaildir(path string) bool {
	list, err := os.ReadDir(path)
	return err == nil && isMaildir(list)
}

// ownOfMaildir says whether a file in a Maildir is a server's own.
func ownOfMaildir(name string) bool {
	for _, prefix := range []string{"dovecot", "maildir", "courier", "subscriptions"} {
		if strings.HasPrefix(strings.TrimPrefix(name, "."), prefix) {
			return true
		}
	}
	return false
}

// isMessage says whether a file that nobody calls .eml begins as a message, and not
// as a letter in some other form: with a field, and one that every message has.
func isMessage(head []byte) bool { return aField().Match(head) && known().Match(head) }

var (
	aField = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[!-9;-~]+[ \t]*:`) })
	known  = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?mi)^(?:From|To|Subject|Date|Received|Return-Path|Delivered-To|Message-ID|MIME-Version)[ \t]*:`)
	})
)

// file takes a file in dirs; name is what it was called, where a link led to it.
func (f *finder) file(path, name string, dirs []string, named bool) {
	if f.seen[path] {
		return
	}
	f.seen[path] = true
	is := func(ext string) bool {
		return strings.EqualFold(filepath.Ext(path), ext) || strings.EqualFold(filepath.Ext(name), ext)
	}
	if is(".eml") {
		f.message(path, dirs)
		return
	}
	head, err := readHead(path)
	switch {
	case err != nil:
		f.fail(path, err)
	case mbox.Is(head), is(".mbox") && (len(head) == 0 || bytes.HasPrefix(head, []byte("From "))):
		f.add(f.mboxLevels(path, dirs, named), mboxFile{path})
	case named && (bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("PK\x05\x06"))):
		f.pack(path, (*pack).zip)
	case named && bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")) && (isTar(path) || isTar(name)):
		f.pack(path, (*pack).tar)
	case isCompressed(head) && named:
		f.fail(path, errCompressed)
	case named && isMessage(head):
		f.message(path, dirs)
	case is(".mbox"):
		f.fail(path, errNoMbox)
	case named:
		f.fail(path, errNoMail)
	default:
		f.found.Passed = append(f.found.Passed, path)
	}
}

// isTar says whether a compressed file is called as a tar.
func isTar(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, ".tar.zst") || strings.HasSuffix(name, ".tzst")
}

// message takes a file that is one message. The archive, and what is exported from
// it, has those of a mailbox in a folder for each month.
func (f *finder) message(path string, dirs []string) {
	if n := len(dirs); n > 0 && month.MatchString(dirs[n-1]) && archivedName.MatchString(filepath.Base(path)) {
		dirs = dirs[:n-1]
	}
	b := f.box(parted(dirs))
	if n := len(b.parts); n > 0 {
		if last, ok := b.parts[n-1].(*files); ok {
			last.paths = append(last.paths, path)
			return
		}
	}
	b.parts = append(b.parts, &files{[]string{path}})
}

var month = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}$`)

// mboxLevels are the levels of the mailbox that an mbox file is.
func (f *finder) mboxLevels(path string, dirs []string, named bool) []string {
	if named && len(f.o.Mailbox) > 0 {
		return nil
	}
	name := filepath.Base(path)
	if parent := filepath.Base(filepath.Dir(path)); name == "mbox" && strings.HasSuffix(parent, ".mbox") { // as Apple Mail exports them
		return append(decoded(dirs[:max(0, len(dirs)-1)]), decoded([]string{strings.TrimSuffix(parent, ".mbox")})...)
	}
	if ext := filepath.Ext(name); strings.EqualFold(ext, ".mbox") && ext != name {
		name = strings.TrimSuffix(name, ext)
	}
	return decoded(append(slices.Clone(dirs), strings.TrimPrefix(name, ".")))
}

// readHead reads the beginning of a file.
func readHead(path string) ([]byte, error) {
	file, _, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	head := make([]byte, 1000)
	n, err := io.ReadFull(file, head)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return head[:n], err
}

// isCompressed says whether a file begins as gzip, zstd, bzip2, xz or zip have it.
func isCompressed(head []byte) bool {
	return slices.ContainsFunc([]string{"\x1f\x8b", "\x28\xb5\x2f\xfd", "BZh", "\xfd7zXZ", "PK\x03\x04"}, func(magic string) bool {
		return bytes.HasPrefix(head, []byte(magic))
	})
}
