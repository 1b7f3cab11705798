package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"archiverd/archive"
	"archiverd/internal/source"
	"archiverd/sync/restore"
)

// addFiles adds .eml files, and those in directories, for one mailbox.
func (s *restoreSource) addFiles(ctx context.Context, args []string, mailbox string, errOut io.Writer) error {
	paths, links, err := findFiles(args)
	if err != nil {
		return err
	}
	if links > 0 {
		fmt.Fprintf(errOut, "archiverd: %s in directories skipped; to restore what they point to, name it\n", english.Plural(links, "symbolic link", ""))
	}
	if len(paths) == 0 {
		return fmt.Errorf("nothing to restore: no .eml file in %q", args)
	}
	items := make([]restore.Item, len(paths))
	for i, path := range paths {
		if err := ctx.Err(); err != nil {
			return err
		}
		if items[i], err = readFile(path, time.Now()); err != nil {
			return err
		}
	}
	if s.name != "" {
		s.name += " and "
	}
	s.name += english.Plural(len(items), "file", "")
	// A person wrote the name: the server's delimiter in it separates levels.
	s.maps = []restore.Mapping{{Old: mailbox, New: mailbox}}
	s.mailboxes = append(s.mailboxes, restore.Source{Name: archive.Name{Mailbox: mailbox}, Load: func() ([]restore.Item, error) { return items, nil }})
	return nil
}

// isMessage reports whether a file has the name of a message.
func isMessage(name string) bool { return strings.EqualFold(filepath.Ext(name), ".eml") }

// findFiles returns the absolute paths of the named .eml files and of those in named
// directories, each once, in the order of the arguments and of the names in a directory.
// Symbolic links are followed only if they are named; links is the number of the others.
//
// Package source finds mail too, but also mboxes and Maildirs, which restore does not take.
func findFiles(args []string) (paths []string, links int, err error) {
	added := map[string]bool{}
	add := func(path string) {
		if !added[path] {
			added[path] = true
			paths = append(paths, path)
		}
	}
	for _, arg := range args {
		path, err := filepath.Abs(arg)
		if err == nil {
			path, err = filepath.EvalSymlinks(path)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("find %s: %w", arg, err)
		}
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, 0, err
		case info.IsDir():
		case !info.Mode().IsRegular() || !isMessage(path) && !isMessage(arg):
			return nil, 0, usage(fmt.Errorf("%s is neither an .eml file nor a directory; restore takes each file as one message, so it can't restore an mbox", arg))
		default:
			add(path)
			continue
		}
		err = filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.Type()&fs.ModeSymlink != 0:
				links++
			case d.Type().IsRegular() && isMessage(path):
				add(path)
			}
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
	}
	return paths, links, nil
}

// readFile reads the .eml file at path to its end, for its hash, size and date.
func readFile(path string, now time.Time) (restore.Item, error) {
	f, err := os.Open(path)
	if err != nil {
		return restore.Item{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return restore.Item{}, err
	}
	item := restore.Item{ID: path}
	head, err := io.ReadAll(io.LimitReader(f, source.MaxHeader))
	if err == nil {
		item.Sum, item.Size, err = archive.Hash(io.MultiReader(bytes.NewReader(head), f))
	}
	if err != nil {
		return restore.Item{}, fmt.Errorf("read %s: %w", path, err)
	}
	item.InternalDate = source.Date(filepath.Base(path), head, info.ModTime(), now)
	return item, nil
}
