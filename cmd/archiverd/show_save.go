package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"

	"archiverd/internal/message"
	"archiverd/internal/safetext"
)

// saving is attachments on their way into a folder. All file access goes through
// root: no name and no link leads out of it.
type saving struct {
	root  *os.Root
	part  int // only that one; 0 for all attachments
	found bool
	depth int            // of the message that is being saved as a whole, -1 if none is
	files []*savedFile   // in order
	next  map[string]int // by name: the number that the next file of that name gets
}

// savedFile is one file, closed when its part ends.
type savedFile struct {
	*bufio.Writer
	f      *os.File
	number int
	name   string
	octets int64
	closed bool
}

// saveParts saves the attachments of message f into dir, or part alone if it is
// not 0. What broke off is removed.
func (a *app) saveParts(f io.Reader, dir string, part int) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return usage(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return usage(err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	s := &saving{root: root, part: part, depth: -1, next: map[string]int{}}
	err = message.Extract(f, message.Options{}, s.open)
	if err == nil && part != 0 && !s.found {
		err = message.ErrNoPart
	}
	for _, file := range s.files {
		if !file.closed {
			err = errors.Join(err, file.f.Close(), root.Remove(file.name))
			continue
		}
		fmt.Fprintf(a.out, "saved part %d, %s: %s\n", file.number, humanize.IBytes(uint64(file.octets)), safetext.Line(filepath.Join(dir, file.name)))
	}
	if err == nil && len(s.files) == 0 {
		fmt.Fprintln(a.err, "archiverd: nothing is attached to this message; --part N --save DIR saves any part of it")
	}
	return err
}

// open makes the file of a part that is to be saved.
func (s *saving) open(p message.Part) (io.WriteCloser, error) {
	if s.depth >= 0 && p.Depth > s.depth {
		if s.part == 0 {
			return nil, nil // it is in the file of the message around it
		}
	} else {
		s.depth = -1
	}
	if s.part != 0 && p.Number != s.part || s.part == 0 && !p.Attachment {
		return nil, nil
	}
	s.found = true
	if strings.HasPrefix(p.Type, "message/") {
		s.depth = p.Depth
	}
	f, name, err := s.create(fileNameOf(p))
	if err != nil {
		return nil, err
	}
	file := &savedFile{Writer: bufio.NewWriter(f), f: f, number: p.Number, name: name}
	s.files = append(s.files, file)
	return file, nil
}

// maxSameName is how many files of one name, with their numbers, a folder gets.
const maxSameName = 20_000

// create makes a new file, under another name if there is one of that name.
func (s *saving) create(name string) (*os.File, string, error) {
	ext := path.Ext(name)
	for s.next[name] < maxSameName {
		s.next[name]++
		try := name
		if n := s.next[name]; n > 1 {
			try = fmt.Sprintf("%s (%d)%s", strings.TrimSuffix(name, ext), n, ext)
		}
		f, err := s.root.OpenFile(try, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return f, try, err
		}
	}
	return nil, "", fmt.Errorf("save %s: %d files of that name are there already", name, maxSameName)
}

func (f *savedFile) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	f.octets += int64(n)
	return n, err
}

func (f *savedFile) Close() error {
	if err := f.Flush(); err != nil {
		return err
	}
	err := f.f.Close()
	f.closed = err == nil
	return err
}

// fileNameOf returns the name under which a part is saved: its own, which
// package message has made safe, or one by its number and type.
func fileNameOf(p message.Part) string {
	if p.Name != "" {
		return p.Name
	}
	return fmt.Sprintf("part-%d%s", p.Number, extensions[p.Type])
}

// extensions are those of the types that come without a name.
var extensions = map[string]string{
	"text/plain": ".txt", "text/html": ".html", "text/calendar": ".ics", "text/csv": ".csv", "text/vcard": ".vcf",
	"text/rtf": ".rtf", "text/xml": ".xml", "text/rfc822-headers": ".txt",
	"message/rfc822": ".eml", "message/global": ".eml", "message/news": ".eml", "message/delivery-status": ".txt",
	"message/disposition-notification": ".txt", "message/feedback-report": ".txt",
	"image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif", "image/svg+xml": ".svg", "image/webp": ".webp", "image/tiff": ".tif",
	"application/pdf": ".pdf", "application/zip": ".zip", "application/gzip": ".gz", "application/json": ".json", "application/xml": ".xml",
	"application/pgp-signature": ".asc", "application/pgp-keys": ".asc", "application/pkcs7-signature": ".p7s", "application/pkcs7-mime": ".p7m",
	"audio/mpeg": ".mp3", "audio/wav": ".wav", "video/mp4": ".mp4",
}
