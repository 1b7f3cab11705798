package source

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"archiverd/internal/durable"
	"archiverd/internal/maildir"
	"archiverd/internal/mbox"
	"archiverd/internal/pattern"
)

// ErrNotEML is returned for a named file that is no .eml file, where only these are
// wanted.
var ErrNotEML = errors.New("it is neither an .eml file nor a directory")

var (
	errNotFile    = errors.New("it is neither a file nor a folder")
	errNoMail     = errors.New("it is no .eml file, no mbox and no folder")
	errNoMbox     = errors.New("it is called .mbox, but does not begin with a From_ line as an mbox does")
	errCompressed = errors.New("it is compressed: unpack it, and import what comes out")
)

// Find finds mail in files and directories. Arguments that hold none are in Failed;
// the error is that of ctx alone. The caller closes the result.
func Find(ctx context.Context, args []string, o Options) (*Found, error) {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	f := &finder{options: o, mailboxes: map[string]*Mailbox{}, visited: map[string]bool{}}
	for _, arg := range args {
		f.addSource(ctx, arg)
	}
	for _, b := range f.mailboxes {
		f.found.Mailboxes = append(f.found.Mailboxes, b)
	}
	slices.SortFunc(f.found.Mailboxes, compareLevels)
	return &f.found, ctx.Err()
}

// finder finds the mail of one call of Find.
type finder struct {
	options   Options
	found     Found
	mailboxes map[string]*Mailbox
	visited   map[string]bool // paths: a file that is named twice is added once
}

// addSource adds the file or directory that the user named.
func (f *finder) addSource(ctx context.Context, arg string) {
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
		f.addFailure(arg, err)
	case info.IsDir():
		f.addDir(ctx, path, nil)
	case !info.Mode().IsRegular() && f.options.OnlyEML:
		f.addFailure(arg, ErrNotEML)
	case !info.Mode().IsRegular():
		f.addFailure(arg, errNotFile)
	default:
		f.addFile(ctx, path, filepath.Base(arg), nil, true)
	}
}

func (f *finder) addFailure(path string, err error) {
	f.found.Failed = append(f.found.Failed, Failure{path, withoutPath(err)})
}

// mailbox returns the mailbox with those levels, added if it is new. Without levels
// it is the mailbox for the top of a source.
func (f *finder) mailbox(levels []string) *Mailbox {
	if len(levels) == 0 {
		levels = f.options.Mailbox
	}
	if len(levels) == 0 {
		levels = []string{pattern.Inbox}
	}
	levels = slices.Concat(f.options.Into, levels)
	levels[0] = pattern.FoldInbox(levels[0])
	key := strings.Join(levels, "\x00")
	b := f.mailboxes[key]
	if b == nil {
		b = &Mailbox{Levels: levels, options: f.options}
		f.mailboxes[key] = b
	}
	return b
}

// addContainer adds a container of messages to a mailbox.
func (f *finder) addContainer(levels []string, p container) {
	b := f.mailbox(levels)
	b.containers = append(b.containers, p)
}

// addDir adds a directory. dirs are the names of the directories on the way to it,
// below the source, its own included.
func (f *finder) addDir(ctx context.Context, path string, dirs []string) {
	if f.visited[path] || ctx.Err() != nil {
		return
	}
	f.visited[path] = true
	list, err := os.ReadDir(path)
	if err != nil { // ReadDir returns what it could read
		f.addFailure(path, err)
	}
	is := isMaildir(list) && !f.options.OnlyEML
	if is {
		p, err := listMaildir(path)
		if err != nil {
			f.addFailure(path, err)
		}
		for _, below := range slices.Sorted(maps.Keys(p.skipped)) {
			f.addSkipped(below, p.skipped[below])
		}
		f.addContainer(fromMaildirNames(dirs), p)
	}
	for _, d := range list {
		name := d.Name()
		below := filepath.Join(path, name)
		switch {
		case is && (slices.Contains(maildir.Folders(), name) || isMaildirMetadata(name)):
		case d.IsDir() && strings.HasPrefix(name, ".") && !f.options.OnlyEML && !holdsMaildir(below): // a program's own files
		case d.IsDir():
			f.addDir(ctx, below, append(slices.Clone(dirs), strings.TrimSuffix(name, ".sbd"))) // Thunderbird keeps children beside the mbox
		case !d.Type().IsRegular():
			f.addSkipped(below, d)
		default:
			f.addFile(ctx, below, name, dirs, false)
		}
	}
}

// addSkipped adds an entry of a directory that is not a regular file.
func (f *finder) addSkipped(path string, d fs.DirEntry) {
	if d.Type()&fs.ModeSymlink != 0 {
		f.found.Links++
		path += " (a link: name what it points to)"
	}
	f.found.Skipped = append(f.found.Skipped, path)
}

// isMaildir reports whether a directory with these entries is a Maildir. The ones
// that Thunderbird makes have no new.
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

// isMaildirMetadata reports whether a file in a Maildir belongs to the mail server.
func isMaildirMetadata(name string) bool {
	for _, prefix := range []string{"dovecot", "maildir", "courier", "subscriptions"} {
		if strings.HasPrefix(strings.TrimPrefix(name, "."), prefix) {
			return true
		}
	}
	return false
}

// isMessage reports whether a file without the suffix .eml begins as a message:
// with a header field, and with one that every message has.
func isMessage(head []byte) bool { return anyField().Match(head) && commonField().Match(head) }

var (
	anyField    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[!-9;-~]+[ \t]*:`) })
	commonField = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?mi)^(?:From|To|Subject|Date|Received|Return-Path|Delivered-To|Message-ID|MIME-Version)[ \t]*:`)
	})
)

// addFile adds a file in dirs. name is the name as typed, which differs from that
// of path after a symbolic link; named says that the user named this file.
func (f *finder) addFile(ctx context.Context, path, name string, dirs []string, named bool) {
	if f.visited[path] {
		return
	}
	f.visited[path] = true
	switch {
	case hasSuffix(".eml", path, name):
		f.addMessage(path, dirs)
	case !f.options.OnlyEML:
		f.addByContent(ctx, path, name, dirs, named)
	case named:
		f.addFailure(path, ErrNotEML)
	}
}

// hasSuffix reports whether one of the names has a suffix, in any case.
func hasSuffix(ext string, names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(filepath.Ext(n), ext) })
}

// addByContent adds a file that is not called .eml as what its first octets say.
func (f *finder) addByContent(ctx context.Context, path, name string, dirs []string, named bool) {
	isMbox := hasSuffix(".mbox", path, name)
	head, err := readHead(path)
	switch {
	case err != nil:
		f.addFailure(path, err)
	case mbox.Is(head), isMbox && maybeMbox(head):
		f.addContainer(f.mboxLevels(path, dirs, named), mboxFile{path})
	case named && isZip(head):
		f.addPack(ctx, path, (*pack).readZip)
	case named && isZstd(head) && (isTar(path) || isTar(name)):
		f.addPack(ctx, path, (*pack).readTar)
	case isCompressed(head) && named:
		f.addFailure(path, errCompressed)
	case named && isMessage(head):
		f.addMessage(path, dirs)
	case isMbox:
		f.addFailure(path, errNoMbox)
	case named:
		f.addFailure(path, errNoMail)
	default:
		f.found.Skipped = append(f.found.Skipped, path)
	}
}

// maybeMbox reports whether a file called .mbox can be one: it is empty, or begins with a
// From_ line in some other form.
func maybeMbox(head []byte) bool { return len(head) == 0 || bytes.HasPrefix(head, []byte("From ")) }

// isZip reports whether a file begins as a zip does, perhaps an empty one.
func isZip(head []byte) bool {
	return bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("PK\x05\x06"))
}

// isZstd reports whether a file begins as zstd does.
func isZstd(head []byte) bool { return bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")) }

// isTar reports whether the name is that of a compressed tar.
func isTar(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, ".tar.zst") || strings.HasSuffix(name, ".tzst")
}

// addMessage adds a file that is one message. In the archive, and in what is
// exported from it, a mailbox has a directory for each month: that level is no
// mailbox.
func (f *finder) addMessage(path string, dirs []string) {
	if f.options.OnlyEML {
		dirs = nil
	}
	if n := len(dirs); n > 0 && monthName.MatchString(dirs[n-1]) && archivedName.MatchString(filepath.Base(path)) {
		dirs = dirs[:n-1]
	}
	b := f.mailbox(fromArchiveNames(dirs))
	if n := len(b.containers); n > 0 {
		if last, ok := b.containers[n-1].(*emlFiles); ok {
			last.paths = append(last.paths, path)
			return
		}
	}
	b.containers = append(b.containers, &emlFiles{[]string{path}})
}

var monthName = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}$`)

// mboxLevels returns the levels of the mailbox that an mbox file holds.
func (f *finder) mboxLevels(path string, dirs []string, named bool) []string {
	if named && len(f.options.Mailbox) > 0 {
		return nil
	}
	name := filepath.Base(path)
	if parent := filepath.Base(filepath.Dir(path)); name == "mbox" && strings.HasSuffix(parent, ".mbox") { // as Apple Mail exports them
		return append(fromMaildirNames(dirs[:max(0, len(dirs)-1)]), fromMaildirNames([]string{strings.TrimSuffix(parent, ".mbox")})...)
	}
	if ext := filepath.Ext(name); strings.EqualFold(ext, ".mbox") && ext != name {
		name = strings.TrimSuffix(name, ext)
	}
	return fromMaildirNames(append(slices.Clone(dirs), strings.TrimPrefix(name, ".")))
}

// readHead reads the first octets of a file.
func readHead(path string) ([]byte, error) {
	file, _, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return durable.ReadHead(file, 1000)
}

// isCompressed reports whether a file begins as gzip, zstd, bzip2, xz or zip do.
func isCompressed(head []byte) bool {
	return slices.ContainsFunc([]string{"\x1f\x8b", "\x28\xb5\x2f\xfd", "BZh", "\xfd7zXZ", "PK\x03\x04"}, func(magic string) bool {
		return bytes.HasPrefix(head, []byte(magic))
	})
}
