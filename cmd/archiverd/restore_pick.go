package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dustin/go-humanize/english"

	"archiverd/archive"
	"archiverd/archive/history"
	"archiverd/internal/config"
	"archiverd/internal/search"
	"archiverd/sync/restore"
)

// picked is what is to be restored, and where its octets are. Close releases it.
type picked struct {
	from    string // for people
	sources []restore.Source
	maps    []restore.Mapping // of the mailbox that files go to
	archive *archive.Archive  // nil: there are files only
}

func (p *picked) Close() error {
	if p.archive == nil {
		return nil
	}
	return p.archive.Close()
}

// open opens a message's octets. The ID of a file is its absolute path, that of
// an archived message is relative.
func (p *picked) open(id string) (*os.File, error) {
	if filepath.IsAbs(id) {
		return os.Open(id)
	}
	return p.archive.OpenFile(id)
}

// pick finds what the flags and arguments name.
func (a *app) pick(ctx context.Context, cfg *config.Config, f restoreFlags, args []string) (p *picked, err error) {
	s, err := f.selection("")
	if err != nil {
		return nil, err
	}
	var query *search.Query
	if f.query != "" {
		if query, err = parseQuery(f.query); err != nil {
			return nil, err
		}
	}
	ids, files := splitArguments(args)
	if err := fitting(f, ids, files); err != nil {
		return nil, err
	}
	p = &picked{}
	if len(ids) > 0 || len(files) == 0 {
		dir := cmp.Or(a.archiveDir, cfg.Archive.Path)
		if p.archive, err = archive.Open(dir); err != nil {
			if a.archiveDir != "" {
				err = usage(err)
			}
			return nil, err
		}
		p.from = "archive " + dir
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if len(args) == 0 {
		if query != nil {
			s = query.Restrict(p.archive, s)
		}
		return p, p.account(f, s)
	}
	if len(ids) > 0 {
		if err := p.messages(ids, s.At); err != nil {
			return p, err
		}
	}
	if len(files) > 0 {
		return p, p.files(ctx, files, f.mailboxes[0], a.err)
	}
	return p, nil
}

// splitArguments tells files and folders on disk from IDs.
func splitArguments(args []string) (ids, files []string) {
	for _, arg := range args {
		if _, err := os.Stat(arg); err == nil {
			files = append(files, arg)
		} else {
			ids = append(ids, arg)
		}
	}
	return ids, files
}

// fitting returns a usage error where flags and arguments make no sense together.
func fitting(f restoreFlags, ids, files []string) error {
	given := len(ids)+len(files) > 0
	switch {
	case len(files) > 0 && (len(f.mailboxes) != 1 || strings.ContainsAny(f.mailboxes[0], "*%")):
		return usage(fmt.Errorf("%s is on disk: say with one --mailbox, without wildcards, which mailbox files go to", files[0]))
	case len(ids) > 0 && len(files) == 0 && len(f.mailboxes) > 0:
		return usage(fmt.Errorf("%q is no file on disk, and a message of the archive goes to its own mailbox: leave out --mailbox, or use --map", ids[0]))
	case len(files) > 0 && f.set():
		return usage(fmt.Errorf("--after, --before, --at, --gone and --since select from the archive, and %s is on disk: leave them out", files[0]))
	case given && (f.from != "" || f.query != "" || f.after != "" || f.before != "" || f.gone || f.since != ""):
		return usage(errors.New("--from, --query, --after, --before, --gone and --since select from an account of the archive: leave them out where messages or files are named"))
	}
	return nil
}

// account picks what s selects of the account that --from or --to names.
func (p *picked) account(f restoreFlags, s history.Selection) error {
	dir, err := fromAccount(p.archive, f)
	if err != nil {
		return err
	}
	s.Account = dir
	if s, err = s.Prepare(p.archive); err != nil { // once, for each Load selects anew
		return err
	}
	seeing, names := s, []archive.Name{}
	seeing.Mailbox = func(n archive.Name) bool { names = append(names, n); return s.Mailbox == nil || s.Mailbox(n) }
	whole := s.After.IsZero() && s.Before.IsZero() && !s.Gone && s.Match == nil
	messages, corrupt := 0, 0
	for sel, err := range history.Select(p.archive, seeing) {
		switch {
		case sel == nil:
			return err
		case err != nil:
			corrupt++ // Load says so, and it stands in the plan
		case len(sel.Messages) == 0 && !(whole && sel.Listed):
			continue
		}
		messages += len(sel.Messages)
		p.sources = append(p.sources, restore.SelectedSource(p.archive, dir, sel.Name, sel.Mailbox, s))
	}
	if err := f.missing(dir, names); err != nil {
		return err
	}
	p.from += ", account " + dir
	if !s.At.IsZero() {
		p.from += ", as it was at " + localTime(s.At)
	}
	if !s.Since.IsZero() {
		p.from += ", what disappeared since " + localTime(s.Since)
	}
	if messages == 0 && corrupt == 0 {
		return p.nothing(f, s)
	}
	return nil
}

// fromAccount is the directory of the account to restore from.
func fromAccount(r *archive.Archive, f restoreFlags) (string, error) {
	have, err := r.Accounts()
	if err != nil {
		return "", err
	}
	dir := archive.Escape(cmp.Or(f.from, f.to))
	switch {
	case slices.Contains(have, dir):
		return dir, nil
	case f.from != "":
		return "", usage(fmt.Errorf("no account %q in the archive; it has %q", f.from, have))
	case len(have) == 1:
		return have[0], nil
	}
	return "", usage(fmt.Errorf("the archive has no account %q; name one with --from: it has %q", f.to, have))
}

// nothing is the error for a selection with no message in it.
func (p *picked) nothing(f restoreFlags, s history.Selection) error {
	text := "no message"
	if len(f.mailboxes) > 0 {
		text += fmt.Sprintf(" in mailbox %q", f.mailboxes)
	}
	text += fmt.Sprintf(" of account %q of the archive", s.Account)
	text += f.narrowed()
	if f.query != "" {
		text += " that " + f.query + " finds"
	}
	when := "was still on the server at the last sync"
	if !s.At.IsZero() {
		when = "was on the server at " + localTime(s.At)
	}
	if s.Gone {
		when = "is gone from the server"
		if !s.Since.IsZero() {
			when = "disappeared from the server since " + localTime(s.Since)
		}
		if !s.At.IsZero() {
			when += ", as of " + localTime(s.At)
		}
		return errors.New("nothing to restore: " + text + " " + when)
	}
	s.Gone = true
	gone := 0
	for sel, err := range history.Select(p.archive, s) {
		if err != nil {
			return err
		}
		gone += len(sel.Messages)
	}
	text += " " + when
	if gone > 0 {
		text += fmt.Sprintf("; --gone selects %s that it no longer has", english.Plural(gone, "message", ""))
	}
	return errors.New("nothing to restore: " + text)
}
