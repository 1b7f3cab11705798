package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"archiverd/archive"
	"archiverd/archive/history"
	"archiverd/internal/maildir"
	"archiverd/internal/mbox"
)

// writeMessage writes a message to a file of its own, octet for octet. present says
// that an equal file has the name already.
func (w *writer) writeMessage(ctx context.Context, b archive.MailboxDir, m *archive.Message, temp, name string) (present bool, err error) {
	if present, err = w.hasEqual(name, m); present || err != nil {
		return present, err
	}
	src, err := w.export.openMessage(b, m)
	if err != nil {
		return false, err
	}
	defer src.Close()
	err = w.writeFile(temp, name, messageDate(m), func(f *os.File) error { return src.readVerified(ctx, copyTo(f)) })
	if errors.Is(err, ErrTaken) { // two UIDs have the same file
		if same, herr := w.hasEqual(name, m); same && herr == nil {
			return true, nil
		}
	}
	return false, err
}

// writeMaildir writes a mailbox as a Maildir.
func (w *writer) writeMaildir(ctx context.Context, sel *history.Selected, box *Mailbox) error {
	rel, err := maildir.Dir(dirNames(sel.Mailbox), w.export.Nested)
	if err != nil {
		if !w.export.Nested {
			err = fmt.Errorf("%w: --nested takes it", err)
		}
		return err
	}
	dir := path.Join(sel.Mailbox.Account, rel)
	box.Path = dir
	if err := w.makeMaildir(sel.Mailbox.Account, rel); err != nil {
		return err
	}
	words, err := w.assignKeywords(dir, sel.Messages)
	if err != nil {
		return err
	}
	there, err := w.existingNames(dir)
	if err != nil {
		return err
	}
	err = w.eachMessage(ctx, sel, box, func(ctx context.Context, m *archive.Message) (bool, []string, error) {
		base := maildirBase(m)
		info := words.Info(m.Flags)
		name := path.Join("cur", base+info)
		if have, ok := there[base]; ok { // its flags may have changed since
			name = have
		}
		present, err := w.writeMessage(ctx, sel.Mailbox, m, path.Join(dir, "tmp"), path.Join(dir, name))
		return present, lostFlags(words, info, m.Flags), err
	})
	return errors.Join(err, w.syncDirs(append([]string{path.Join(dir, "cur")}, withParents(dir)...)...))
}

// makeMaildir creates the directories of a mailbox and of the INBOX of its account.
func (w *writer) makeMaildir(account, rel string) error {
	for _, dir := range []string{account, path.Join(account, rel)} {
		for _, sub := range maildir.Folders() {
			if err := w.prepareDir(path.Join(dir, sub)); err != nil {
				return err
			}
		}
	}
	if rel == "." || w.export.Nested {
		return nil
	}
	f, err := w.root.OpenFile(path.Join(account, rel, maildir.FolderName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// assignKeywords gives letters to the keywords of the messages. Keywords that have
// a letter keep it: lines are only added to the file.
func (w *writer) assignKeywords(dir string, messages []*archive.Message) (maildir.Keywords, error) {
	name := path.Join(dir, maildir.KeywordsName)
	there, err := w.isRegular(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var words maildir.Keywords
	if there {
		f, err := w.root.Open(name)
		if err != nil {
			return nil, err
		}
		words, err = maildir.ReadKeywords(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
	before := len(words)
	for _, keyword := range keywordsOf(messages) {
		words.Add(keyword)
	}
	if len(words) == before {
		return words, nil
	}
	if !there {
		return words, w.writeFile(path.Join(dir, "tmp"), name, time.Time{}, func(f *os.File) error {
			_, err := f.WriteString(words.String())
			return err
		})
	}
	f, err := w.root.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	more := append(make(maildir.Keywords, before), words[before:]...)
	_, err = f.WriteString(more.String())
	return words, errors.Join(err, f.Sync(), f.Close())
}

// keywordsOf returns the keywords of messages, the most frequent first. It leaves out
// keywords with a line end, which a foreign journal may have.
func keywordsOf(messages []*archive.Message) []string {
	count := map[string]int{}
	var list []string
	for _, m := range messages {
		for _, flag := range m.Flags {
			if strings.HasPrefix(flag, `\`) || !mbox.IsKeyword(flag) {
				continue
			}
			if count[flag]++; count[flag] == 1 {
				list = append(list, flag)
			}
		}
	}
	slices.Sort(list)
	slices.SortStableFunc(list, func(a, b string) int { return count[b] - count[a] })
	return list
}

// lostFlags describes the flags that have no letter.
func lostFlags(words maildir.Keywords, info string, flags []string) []string {
	_, letters := maildir.Split("x" + info)
	held := words.Flags(letters)
	var lost []string
	for _, flag := range flags {
		if !slices.ContainsFunc(held, func(h string) bool { return strings.EqualFold(h, flag) }) {
			lost = append(lost, flag)
		}
	}
	if len(lost) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("Maildir holds %d keywords of a mailbox, and has no letter for %q", maildir.MaxKeywords, lost)}
}

// existingNames returns the paths of the messages in a Maildir, by their names
// without flags.
func (w *writer) existingNames(dir string) (map[string]string, error) {
	out := map[string]string{}
	for _, sub := range []string{"new", "cur"} {
		names, err := w.fileNames(path.Join(dir, sub))
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			base, _ := maildir.Split(n)
			out[base] = path.Join(sub, n)
		}
	}
	return out, nil
}

var archivedName = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z\.([0-9]+\.[0-9]+(-[0-9]+)?)\.eml$`)

// maildirBase returns the name of a message in a Maildir without its flags: the
// time of arrival, UIDVALIDITY and UID, the writing program, and the size as
// Dovecot stores it.
func maildirBase(m *archive.Message) string {
	unique := m.Sum.String()
	if n := archivedName.FindStringSubmatch(fileName(m)); n != nil {
		unique = n[1]
	}
	return fmt.Sprintf("%d.%s.archiverd,S=%d", max(0, messageDate(m).Unix()), unique, m.Size)
}
