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
	"time"

	"github.com/dustin/go-humanize/english"

	"archiverd/archive"
	"archiverd/archive/history"
	"archiverd/internal/config"
	"archiverd/internal/search"
	"archiverd/internal/ui"
	"archiverd/sync/restore"
)

// restoreSource is what is to be restored. The caller closes it.
type restoreSource struct {
	name      string // for people
	mailboxes []restore.Source
	maps      []restore.Mapping // of the mailbox that files go to
	archive   *archive.Archive  // nil: there are only files
}

// Close closes the archive.
func (s *restoreSource) Close() error {
	if s.archive == nil {
		return nil
	}
	return s.archive.Close()
}

// open opens the octets of a message. The ID of a file is its absolute path, that of an
// archived message is relative to the archive.
func (s *restoreSource) open(id string) (*os.File, error) {
	if filepath.IsAbs(id) {
		return os.Open(id)
	}
	return s.archive.OpenFile(id)
}

// findRestoreSource finds what the flags and arguments select.
func (a *app) findRestoreSource(ctx context.Context, cfg *config.Config, f restoreFlags, args []string) (s *restoreSource, err error) {
	sel, err := f.selection("")
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
	if err := checkRestoreFlags(f, ids, files); err != nil {
		return nil, err
	}
	s = &restoreSource{}
	if len(ids) > 0 || len(files) == 0 {
		if err := a.openRestoreArchive(cfg, s); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if len(args) == 0 {
		if query != nil {
			sel = query.Restrict(s.archive, sel)
		}
		return s, s.addAccount(f, sel)
	}
	if len(ids) > 0 {
		if err := s.addMessages(ids, sel.At); err != nil {
			return s, err
		}
	}
	if len(files) > 0 {
		return s, s.addFiles(ctx, files, f.mailboxes[0], a.err)
	}
	return s, nil
}

// openRestoreArchive opens the archive of --archive or the configuration for s.
func (a *app) openRestoreArchive(cfg *config.Config, s *restoreSource) (err error) {
	dir := cmp.Or(a.archiveDir, cfg.Archive.Path)
	s.name = "archive " + dir
	if s.archive, err = archive.Open(dir); err != nil && a.archiveDir != "" {
		err = usage(err)
	}
	return err
}

// splitArguments separates IDs from files and directories, which exist on disk.
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

// checkRestoreFlags returns a usage error if flags and arguments contradict each other.
func checkRestoreFlags(f restoreFlags, ids, files []string) error {
	hasArguments := len(ids)+len(files) > 0
	switch {
	case len(files) > 0 && (len(f.mailboxes) != 1 || strings.ContainsAny(f.mailboxes[0], "*%")):
		return usage(fmt.Errorf("%s is on disk: name the mailbox for files with one --mailbox, without wildcards", files[0]))
	case len(ids) > 0 && len(files) == 0 && len(f.mailboxes) > 0:
		return usage(fmt.Errorf("%q is no file on disk, and a message of the archive goes to its own mailbox: leave out --mailbox, or use --map", ids[0]))
	case len(files) > 0 && f.isSet():
		return usage(fmt.Errorf("--after, --before, --at, --gone and --since select from the archive, and %s is on disk: leave them out", files[0]))
	case hasArguments && (f.from != "" || f.query != "" || f.after != "" || f.before != "" || f.gone || f.since != ""):
		return usage(errors.New("--from, --query, --after, --before, --gone and --since select from an account of the archive: leave them out where messages or files are named"))
	}
	return nil
}

// addAccount adds the mailboxes that sel selects of the account of --from or --to. It is
// an error if they have no message.
func (s *restoreSource) addAccount(f restoreFlags, sel history.Selection) error {
	dir, err := sourceAccount(s.archive, f)
	if err != nil {
		return err
	}
	sel.Account = dir
	if sel, err = sel.Prepare(s.archive); err != nil { // once, since each Load selects again
		return err
	}
	withNames := sel
	names := recordNames(&withNames)
	isWhole := sel.After.IsZero() && sel.Before.IsZero() && !sel.Gone && sel.Match == nil
	messages, corrupt := 0, 0
	for selected, err := range history.Select(s.archive, withNames) {
		switch {
		case selected == nil:
			return err
		case err != nil:
			corrupt++ // Load returns the error again, for the plan
		case len(selected.Messages) == 0 && !(isWhole && selected.Listed):
			continue
		}
		messages += len(selected.Messages)
		s.mailboxes = append(s.mailboxes, restore.SelectedSource(s.archive, dir, selected.Name, selected.Mailbox, sel))
	}
	if err := f.checkPatterns(dir, *names); err != nil {
		return err
	}
	s.name += ", account " + dir
	if !sel.At.IsZero() {
		s.name += ", as it was at " + ui.ZonedTime(sel.At)
	}
	if !sel.Since.IsZero() {
		s.name += ", what disappeared since " + ui.ZonedTime(sel.Since)
	}
	if messages == 0 && corrupt == 0 {
		return s.emptySelection(f, sel)
	}
	return nil
}

// sourceAccount is the directory of the account to restore from: that of --from, else of
// the same name as --to, else the only one.
func sourceAccount(r *archive.Archive, f restoreFlags) (string, error) {
	if f.from != "" {
		return archivedAccount(r, f.from)
	}
	have, err := r.Accounts()
	if err != nil {
		return "", err
	}
	dir := archive.Escape(f.to)
	switch {
	case slices.Contains(have, dir):
		return dir, nil
	case len(have) == 1:
		return have[0], nil
	}
	return "", fmt.Errorf("%w; name the one to restore from with --from", noAccount(f.to, have, "the archive"))
}

// emptySelection is the error for a selection without messages. It says so if the server
// no longer has messages that are otherwise selected.
func (s *restoreSource) emptySelection(f restoreFlags, sel history.Selection) error {
	text := "nothing to restore: no message" + describeRestore(f, sel.Account)
	if sel.Gone {
		return errors.New(text + " " + describeGone(sel))
	}
	sel.Gone = true
	gone := 0
	for selected, err := range history.Select(s.archive, sel) {
		if err != nil {
			return err
		}
		gone += len(selected.Messages)
	}
	if sel.At.IsZero() {
		text += " was still on the server at the last sync"
	} else {
		text += " was on the server at " + ui.ZonedTime(sel.At)
	}
	if gone > 0 {
		text += fmt.Sprintf("; --gone selects %s that it no longer has", english.Plural(gone, "message", ""))
	}
	return errors.New(text)
}

// describeRestore is what the flags select of an account, behind the words "no message".
func describeRestore(f restoreFlags, account string) string {
	text := ""
	if len(f.mailboxes) > 0 {
		text += fmt.Sprintf(" in mailbox %q", f.mailboxes)
	}
	text += fmt.Sprintf(" of account %q of the archive", account)
	if f.after != "" {
		text += " after " + f.after
	}
	if f.before != "" {
		text += " before " + f.before
	}
	if f.query != "" {
		text += " that " + f.query + " finds"
	}
	return text
}

// describeGone is when the messages of a selection with Gone disappeared.
func describeGone(sel history.Selection) string {
	text := "is gone from the server"
	if !sel.Since.IsZero() {
		text = "disappeared from the server since " + ui.ZonedTime(sel.Since)
	}
	if !sel.At.IsZero() {
		text += ", as of " + ui.ZonedTime(sel.At)
	}
	return text
}

// addMessages adds the messages with these IDs, with their flags at a time; the zero time
// is now.
func (s *restoreSource) addMessages(ids []string, at time.Time) error {
	list, err := findMessages(s.archive, ids)
	if errors.Is(err, archive.ErrNoMessage) {
		return usage(fmt.Errorf("no such file or directory on disk, and %w", err))
	}
	if err != nil {
		return err
	}
	for _, found := range list {
		if _, err := loadFound(s.archive, found, at); err != nil && !at.IsZero() {
			return usage(err)
		}
		s.mailboxes = append(s.mailboxes, restore.Source{Account: found.Mailbox.Account, Name: found.Name,
			Load: func() ([]restore.Item, error) { return loadFound(s.archive, found, at) }})
	}
	return nil
}

// loadFound is the Load of a restore.Source: messages of a mailbox in order of epoch and
// UID, each as the mailbox had it last, or at a time.
func loadFound(r *archive.Archive, found *archive.FoundMessages, at time.Time) ([]restore.Item, error) {
	v, err := r.FoldAt(found.Mailbox, at)
	if err != nil && !errors.Is(err, archive.ErrCorrupt) {
		return nil, err
	}
	const notYet = -1
	indexes := map[string]int{} // by path: in items
	for _, p := range found.Paths {
		indexes[p] = notYet
	}
	var items []restore.Item
	for _, m := range v.All() {
		i, ok := indexes[m.Path]
		switch {
		case !ok:
		case i == notYet:
			indexes[m.Path] = len(items)
			items = append(items, restore.NewItem(found.Mailbox, m))
		default:
			items[i] = restore.NewItem(found.Mailbox, m)
		}
	}
	missing := len(indexes) - len(items)
	switch {
	case missing == 0:
		return items, nil
	case !at.IsZero():
		return nil, fmt.Errorf("mailbox %s: %s was not archived yet at %s", found.Mailbox.Dir, found.Paths[0], ui.ZonedTime(at))
	}
	// FindMessages found them a moment ago.
	return nil, errors.Join(fmt.Errorf("mailbox %s: %s that had been found, no longer in its journal", found.Mailbox.Dir, english.Plural(missing, "message", "")), err)
}
