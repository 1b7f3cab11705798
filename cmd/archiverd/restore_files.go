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

// files picks files, and those of folders, for one mailbox.
func (p *picked) files(ctx context.Context, args []string, mailbox string, errOut io.Writer) error {
	paths, links, err := findFiles(args)
	if err != nil {
		return err
	}
	if links > 0 {
		fmt.Fprintf(errOut, "archiverd: %s in folders passed over; to restore what they point to, name it\n", english.Plural(links, "symbolic link", ""))
	}
	if len(paths) == 0 {
		return fmt.Errorf("nothing to restore: no .eml file in %q", args)
	}
	items := make([]restore.Item, len(paths))
	for i, path := range paths {
		if err := ctx.Err(); err != nil {
			return err
		}
		if items[i], err = fileItem(path, time.Now()); err != nil {
			return err
		}
	}
	if p.from != "" {
		p.from += " and "
	}
	p.from += english.Plural(len(items), "file", "")
	// A person wrote the name: the target's delimiter is meant where it stands in it.
	p.maps = []restore.Mapping{{Old: mailbox, New: mailbox}}
	p.sources = append(p.sources, restore.Source{Name: archive.Name{Mailbox: mailbox}, Load: func() ([]restore.Item, error) { return items, nil }})
	return nil
}

// isMessage says whether a file is called like a message.
func isMessage(name string) bool { return strings.EqualFold(filepath.Ext(name), ".eml") }

// findFiles returns the absolute paths of the files that are named and of those
// in folders, in the order of their names, each once, and how many links in
// folders were not followed.
func findFiles(args []string) (paths []string, links int, err error) {
	seen := map[string]bool{}
	add := func(path string) {
		if !seen[path] {
			seen[path] = true
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
			return nil, 0, usage(fmt.Errorf("%s is no .eml file and no folder of them; each file is taken for one message, so an mbox can't be restored", arg))
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

// fileItem reads a file to its end.
func fileItem(path string, now time.Time) (restore.Item, error) {
	f, err := os.Open(path)
	if err != nil {
		return restore.Item{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return restore.Item{}, err
	}
	it := restore.Item{ID: path}
	head, err := io.ReadAll(io.LimitReader(f, source.MaxHeader))
	if err == nil {
		it.Sum, it.Size, err = archive.Hash(io.MultiReader(bytes.NewReader(head), f))
	}
	if err != nil {
		return restore.Item{}, fmt.Errorf("read %s: %w", path, err)
	}
	it.InternalDate = source.Date(filepath.Base(path), head, info.ModTime(), now)
	return it, nil
}
