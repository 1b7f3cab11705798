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

	"archiverd/internal/message"
	"archiverd/internal/safetext"
	"archiverd/internal/ui"
)

// partSaver saves parts of a message into a directory. All file access goes through
// root: no name and no link leads out of the directory.
type partSaver struct {
	root  *os.Root
	part  int            // only that one; 0: all attachments
	found bool           // part is in the message
	depth int            // of the message that is being saved as one file; -1: none is
	files []*savedFile   // in order of their parts
	tried map[string]int // by name: how many files of that name were tried
}

// savedFile is the file of a part. Its Close is called when the part ends.
type savedFile struct {
	*bufio.Writer
	f      *os.File
	number int // of the part
	name   string
	octets int64
	closed bool
}

// saveParts saves the attachments of message f into dir, or only part if it is not 0. A
// file that could not be completed is removed. A message.ErrNoPart is returned if there is
// no such part.
func (a *app) saveParts(f io.Reader, dir string, part int) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return usage(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return usage(err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	s := &partSaver{root: root, part: part, depth: -1, tried: map[string]int{}}
	err = message.Extract(f, message.Options{}, s.open)
	if err == nil && part != 0 && !s.found {
		err = message.ErrNoPart
	}
	for _, file := range s.files {
		if !file.closed {
			err = errors.Join(err, file.f.Close(), root.Remove(file.name))
			continue
		}
		fmt.Fprintf(a.out, "saved part %d, %s: %s\n", file.number, ui.Octets(file.octets), safetext.Line(filepath.Join(dir, file.name)))
	}
	if err == nil && len(s.files) == 0 {
		fmt.Fprintln(a.err, "archiverd: this message has no attachments; --part N --save DIR saves any part of it")
	}
	return err
}

// open creates the file of a part. It returns nil if the part is not to be saved.
func (s *partSaver) open(p message.Part) (io.WriteCloser, error) {
	if s.depth >= 0 && p.Depth > s.depth {
		if s.part == 0 {
			return nil, nil // it is saved with the message around it
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
	f, name, err := s.create(fileName(p))
	if err != nil {
		return nil, err
	}
	file := &savedFile{Writer: bufio.NewWriter(f), f: f, number: p.Number, name: name}
	s.files = append(s.files, file)
	return file, nil
}

// maxSameName is how many files of one name, told apart by a number, are tried.
const maxSameName = 20_000

// create creates a new file and returns its name: "a (2).txt" if there is a file a.txt.
func (s *partSaver) create(name string) (*os.File, string, error) {
	ext := path.Ext(name)
	for s.tried[name] < maxSameName {
		s.tried[name]++
		candidate := name
		if n := s.tried[name]; n > 1 {
			candidate = fmt.Sprintf("%s (%d)%s", strings.TrimSuffix(name, ext), n, ext)
		}
		f, err := s.root.OpenFile(candidate, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return f, candidate, err
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

// fileName is the name of the file of a part: the part's own, which package message has
// made safe, or one of its number and type.
func fileName(p message.Part) string {
	if p.Name != "" {
		return p.Name
	}
	return fmt.Sprintf("part-%d%s", p.Number, extensions[p.Type])
}

// extensions are the extensions of files whose parts have no name, by content type.
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
